//! How far the work has come: one line on stderr, rewritten in place.

use crate::settings::{Common, Progress};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows bytes, rows, rate and, where the size is known, the time left.
pub struct Meter {
    tool: &'static str,
    started: Instant,
    shown: Option<Instant>,
    bytes_total: Option<u64>,
    on: bool,
}

impl Meter {
    /// A meter as the flags ask for.
    pub fn new(common: &Common, bytes_total: Option<u64>) -> Meter {
        let on = match common.progress {
            Progress::Auto => std::io::stderr().is_terminal(),
            Progress::Always => true,
            Progress::Never => false,
        };
        Meter { tool: common.tool, started: Instant::now(), shown: None, bytes_total, on }
    }

    /// Shows where things stand, twice a second at the most.
    pub fn show(&mut self, bytes: u64, rows: u64) {
        let (started, bytes_total) = (self.started, self.bytes_total);
        self.say(|| line(bytes, rows, started.elapsed(), bytes_total));
    }

    /// Shows a line of the tool's own, twice a second at the most.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.on && self.shown.is_none_or(|shown| now - shown > Duration::from_millis(500)) {
            self.shown = Some(now);
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {}", self.tool, line());
        }
    }

    /// Clears the line.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(bytes: u64, rows: u64, elapsed: Duration, bytes_total: Option<u64>) -> String {
    let rate = bytes as f64 / elapsed.as_secs_f64().max(1e-3);
    let left = bytes_total.map(|total| total.saturating_sub(bytes) as f64 / rate.max(1.0));
    let left = left.map_or(String::new(), |left| format!(", {left:.0} s left"));
    format!("{rows} rows, {:.1} MB, {:.1} MB/s{left}", bytes as f64 / 1e6, rate / 1e6)
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}
