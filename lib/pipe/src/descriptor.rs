//! The descriptors that this process was given: standard input, output and error, and what paths such as `/dev/stderr`
//! name.

use std::fs;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Links behind links that are followed; as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Which of standard input, output and error were closed when the process began.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Run by the loader. In `main` it is too late: Rust has opened the null device in place of what was closed by then,
/// into which output would be lost without a word.
#[cfg(target_os = "linux")]
#[used]
// SAFETY: the loader calls each function that is listed there once; this one neither allocates nor needs anything to be
// set up.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[cfg(target_os = "linux")]
extern "C" fn look() {
    for (descriptor, closed) in (0..).zip(&CLOSED) {
        // SAFETY: asks for the flags of a descriptor, which changes nothing.
        closed.store(unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1, Ordering::Relaxed);
    }
}

/// Whether the process began with this descriptor closed.
pub(crate) fn was_closed(descriptor: RawFd) -> bool {
    usize::try_from(descriptor)
        .ok()
        .and_then(|place| CLOSED.get(place))
        .is_some_and(|closed| closed.load(Ordering::Relaxed))
}

/// Standard input, under a descriptor of its own.
///
/// # Errors
/// Where the process began with none, and those of duplicating it.
pub(crate) fn stdin() -> io::Result<File> {
    duplicate(0)
}

/// Standard output itself.
pub(crate) fn stdout() -> ManuallyDrop<File> {
    // SAFETY: the descriptor is open until [`close_stdout`], after which nothing is written; it is not closed when this
    // is dropped.
    ManuallyDrop::new(unsafe { File::from_raw_fd(1) })
}

/// Closes standard output, which shows what a file system has put off.
///
/// # Errors
/// What was put off.
pub(crate) fn close_stdout() -> io::Result<()> {
    // SAFETY: called when all is written; what Rust does with standard output at the very end is to flush what is not
    // there.
    close(unsafe { File::from_raw_fd(1) })
}

/// Closes a file, which shows what a file system has put off; dropping it does not.
///
/// # Errors
/// What was put off.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was the file's alone, and is not used any more.
    let closed = unsafe { libc::close(file.into_raw_fd()) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn duplicate(descriptor: RawFd) -> io::Result<File> {
    if was_closed(descriptor) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: only borrowed while it is duplicated; one that is not open is an error.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().map(File::from)
}

/// The descriptor that a path names, as `/dev/stdout`, `/dev/fd/3` and links to them do, under another of the same
/// place and manner of writing; `None` for other paths. What is opened by such a name instead would begin at the start
/// of the file, over what is there.
pub(crate) fn named(path: &Path) -> Option<io::Result<File>> {
    let descriptors = fs::canonicalize("/proc/self/fd").ok()?;
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).ok()?;
        let name = path.file_name()?;
        if folder == descriptors {
            return Some(duplicate(name.to_str()?.parse().ok()?));
        }
        if folder.starts_with("/proc") {
            // Of another process, whose place in the file cannot be had.
            return Some(File::options().append(true).open(folder.join(name)));
        }
        let target: PathBuf = fs::read_link(folder.join(name)).ok()?;
        path = folder.join(target);
    }
    None
}
