//! Memory that is not to be had ends the run like any other lack: with a message and exit 1.
//!
//! Rust's own answer is to abort, which shells and schedulers take for a crash.

use crate::temporary;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, which never comes back without memory.
struct Enough;

#[global_allocator]
static ENOUGH: Enough = Enough;

// SAFETY: each is the system's, but for what does not come back.
unsafe impl GlobalAlloc for Enough {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on, here and below.
        enough(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        enough(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        enough(unsafe { System.realloc(place, layout, size) }, size)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[inline]
fn enough(place: *mut u8, bytes: usize) -> *mut u8 {
    if place.is_null() { exhausted(bytes) } else { place }
}

/// Says so, takes away what has no name yet, and ends the process. Whoever comes here meanwhile, this very thread too,
/// ends it at once.
#[cold]
fn exhausted(bytes: usize) -> ! {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if !BEGUN.swap(true, Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{}: out of memory: {bytes} bytes more were refused", crate::name());
        temporary::remove_all();
    }
    // SAFETY: ends the process; nothing is run that may need memory.
    unsafe { libc::_exit(1) }
}
