//! Runs a program to its end, within a limit, and keeps what it said.

use crate::folder::Folder;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// How a program is to be run. Standard input is empty unless it is given.
pub struct Run {
    command: Command,
    shown: String,
    stdin: Vec<u8>,
    /// Standard input stays open after its last byte.
    waiting: bool,
    stdout: Option<File>,
    /// Bytes of standard output to read before the reader goes away.
    reader_leaves_after: Option<u64>,
    /// The folder, and the signal that is sent once something hidden is in it.
    signalled: Option<(PathBuf, &'static str)>,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// The command line, for messages.
    pub shown: String,
    /// The exit code; `None`: killed by a signal.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// What it wrote to standard output, as far as that was read.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// The most memory that it was seen to have resident, in KiB.
    pub resident_max_kib: u64,
}

impl Run {
    /// A run of this program in this folder.
    pub fn new(program: impl AsRef<OsStr>, folder: &Folder) -> Run {
        let mut command = Command::new(&program);
        command.current_dir(folder.path());
        let shown = Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Run {
            command,
            shown,
            stdin: Vec::new(),
            waiting: false,
            stdout: None,
            reader_leaves_after: None,
            signalled: None,
        }
    }

    /// A run of a shell script that finds the built programs by name, and ends at the first command that fails.
    pub fn shell(script: &str, folder: &Folder) -> Run {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(programs()).chain(std::env::split_paths(&path));
        let mut run = Run::new("sh", folder).args(["-euc", script]);
        run.command.env("PATH", std::env::join_paths(folders).expect("the folders of PATH go into PATH"));
        run.command.env("LC_ALL", "C");
        run
    }

    /// The same with more arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Run {
        for arg in args {
            self.shown += &format!(" {}", arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    /// The same with these bytes on standard input, which is a pipe.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = bytes.into();
        self
    }

    /// The same with a standard input that does not end.
    pub fn waiting(mut self) -> Run {
        self.waiting = true;
        self
    }

    /// The same with this file as standard output.
    pub fn into_file(mut self, path: &str) -> Run {
        let file = File::options().write(true).open(path).unwrap_or_else(|why| panic!("{path}: {why}"));
        self.stdout = Some(file);
        self
    }

    /// The same with a reader that closes standard output after so many bytes.
    pub fn reader_leaves_after(mut self, bytes: u64) -> Run {
        self.reader_leaves_after = Some(bytes);
        self
    }

    /// The same, sent this signal (`INT`) once something with a hidden name is in the folder.
    pub fn signalled(mut self, signal: &'static str, folder: &Folder) -> Run {
        self.signalled = Some((folder.path().to_path_buf(), signal));
        self
    }

    /// Runs it to its end. A run over the limit is killed and fails the test.
    pub fn outcome(mut self) -> Outcome {
        let stdout = self.stdout.take().map_or_else(Stdio::piped, Stdio::from);
        self.command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|why| panic!("{}: {why}", self.shown));
        let input = child.stdin.take().expect("standard input is a pipe");
        let (still_running, ended) = channel::<()>();
        let (stdin, waiting) = (self.stdin, self.waiting);
        let feeder = thread::spawn(move || feed(input, &stdin, waiting.then_some(&ended)));
        let stdout = child.stdout.take().map(|pipe| collected(pipe.take(self.reader_leaves_after.unwrap_or(u64::MAX))));
        let stderr = child.stderr.take().map(collected);
        self.signalled.iter().for_each(|(folder, signal)| send_when_hidden(signal, child.id(), folder));
        let (status, resident_max_kib) = ended_in_time(&mut child, &self.shown);
        drop(still_running);
        feeder.join().expect("the feeder does not panic");
        let bytes = |pipe: Option<Receiver<Vec<u8>>>| pipe.map_or(Vec::new(), |pipe| pipe.recv().unwrap_or_default());
        Outcome {
            shown: self.shown,
            code: status.code(),
            signal: status.signal(),
            stdout: bytes(stdout),
            stderr: String::from_utf8_lossy(&bytes(stderr)).into_owned(),
            resident_max_kib,
        }
    }

    /// Runs it to its end, which must be exit 0 without a word on stderr; gives its output.
    pub fn output(self) -> Vec<u8> {
        let outcome = self.outcome();
        outcome.expect(0);
        assert_eq!(outcome.stderr, "", "{}", outcome.shown);
        outcome.stdout
    }

    /// [`Run::output`] as text.
    pub fn text(self) -> String {
        String::from_utf8(self.output()).expect("the output is text")
    }
}

impl Outcome {
    /// Fails the test unless this is the exit code.
    pub fn expect(&self, code: i32) {
        let Outcome { shown, stderr, .. } = self;
        assert_eq!((self.code, self.signal), (Some(code), None), "exit code, signal of: {shown}\nstderr: {stderr}");
    }

    /// Fails the test unless this is the exit code, nothing is on standard output, and stderr has all of these in it.
    pub fn expect_refusal(&self, code: i32, said: &[&str]) {
        self.expect(code);
        let Outcome { shown, stderr, .. } = self;
        assert!(self.stdout.is_empty(), "{shown}: {} bytes on standard output", self.stdout.len());
        for part in said {
            assert!(stderr.contains(part), "{shown}: {part:?} is not in the message: {stderr}");
        }
    }

    /// Its output as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.stdout).expect("the output is text")
    }
}

/// Writes the bytes; then closes the pipe, at once or when the run has ended.
fn feed(mut pipe: impl Write, bytes: &[u8], ended: Option<&Receiver<()>>) {
    match pipe.write_all(bytes) {
        // A program may end without reading all its input.
        Err(why) if why.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("standard input can be written to"),
    }
    ended.map(Receiver::recv);
}

/// Reads on a thread of its own, and then closes the pipe.
fn collected(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("the pipe can be read");
        drop(pipe);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Sends a signal once something with a hidden name is in the folder.
fn send_when_hidden(signal: &str, process: u32, folder: &Path) {
    let started = Instant::now();
    let is_hidden = |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    while !fs::read_dir(folder).expect("a folder").flatten().any(is_hidden) {
        assert!(started.elapsed() < LIMIT, "nothing hidden in {}", folder.display());
        thread::sleep(Duration::from_millis(2));
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status();
    assert!(sent.expect("there is a shell").success(), "{signal} cannot be sent");
}

/// Waits for the end, looking at the memory meanwhile.
fn ended_in_time(child: &mut Child, shown: &str) -> (ExitStatus, u64) {
    let started = Instant::now();
    let status = format!("/proc/{}/status", child.id());
    let (mut resident_max_kib, mut pause) = (0, Duration::from_micros(200));
    loop {
        resident_max_kib = resident_max_kib.max(high_water_kib(&status));
        if let Some(ended) = child.try_wait().expect("a child can be waited for") {
            return (ended, resident_max_kib);
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown}: still running after {LIMIT:?}");
        }
        thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(5));
    }
}

/// `VmHWM` of a process; 0 where there is none to see.
fn high_water_kib(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

/// The folder that the programs are built into: where this test is, but for `deps`.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a name");
    test.parent().and_then(Path::parent).expect("tests are in deps").to_path_buf()
}

/// A built program. Fails the test where it is missing: Cargo builds only a package's own programs for its tests.
pub fn program(name: &str) -> PathBuf {
    let path = programs().join(name);
    assert!(path.is_file(), "{} is missing: cargo build --workspace --bins comes before the tests", path.display());
    path
}
