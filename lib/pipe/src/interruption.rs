//! Ctrl-C, TERM and HUP: what has no name yet is taken away, then the process ends by the signal, as its parent
//! expects.
//!
//! Nothing is watched until there is something to take away. The handler only passes the signal's number on to a
//! thread, in which all that a handler must not do is allowed. That thread keeps others from making or renaming
//! anything until the process is gone.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

/// The signals that are asked of a process to end it.
const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Where the handler writes.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Watches for the signals from now on. `take_away` is called when one has come, and what it gives is held until the
/// process ends. Where watching cannot be, signals end the process at once, as before.
pub(crate) fn watch<G: 'static>(take_away: fn() -> G) {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let _ = begin(move |pipe| end(pipe, take_away));
    });
}

fn begin(end: impl FnOnce(File) + Send + 'static) -> io::Result<()> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors that are written there.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nothing else has it.
    let reader = File::from(unsafe { OwnedFd::from_raw_fd(ends[0]) });
    thread::Builder::new().stack_size(64 << 10).spawn(|| end(reader))?;
    PIPE.store(ends[1], Ordering::Relaxed);
    SIGNALS.into_iter().for_each(take);
    Ok(())
}

/// Takes a signal, unless it is one that the parent has told to be ignored, as `nohup` does.
fn take(signal: i32) {
    // SAFETY: both structures are valid when they are all zero bytes; `handler` does only what a handler may.
    unsafe {
        let (mut before, mut action) = (std::mem::zeroed::<libc::sigaction>(), std::mem::zeroed::<libc::sigaction>());
        action.sa_sigaction = handler as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_RESTART;
        if libc::sigaction(signal, std::ptr::null(), &mut before) == 0 && before.sa_sigaction == libc::SIG_DFL {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

extern "C" fn handler(signal: i32) {
    let byte = signal as u8;
    // SAFETY: writing a byte of the stack to a pipe is allowed in a handler; `errno` is put back for whom it
    // interrupts.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *errno = before;
    }
}

/// Waits for the first signal, and ends the process by it.
fn end<G>(mut pipe: File, take_away: fn() -> G) {
    let mut signal = [0];
    if pipe.read_exact(&mut signal).is_err() {
        return;
    }
    let held = take_away();
    // SAFETY: only the default action is put back, and taken.
    unsafe {
        libc::signal(i32::from(signal[0]), libc::SIG_DFL);
        libc::raise(i32::from(signal[0]));
    }
    drop(held);
}
