//! A stand-in for NVIDIA's driver that runs the kernels in emulation, for programs that compute on GPUs: `lib/kernels/emulate_driver.cpp`.

use crate::folder::Folder;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A folder with the stand-in, for `LD_LIBRARY_PATH`; tests that run together share it. `None`, and says so, where it cannot be compiled.
pub fn driver() -> Option<Arc<Folder>> {
    static SHARED: Mutex<Weak<Folder>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = shared.upgrade().or_else(|| compile().map(Arc::new))?;
    *shared = Arc::downgrade(&folder);
    Some(folder)
}

fn compile() -> Option<Folder> {
    let folder = Folder::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/kernels/emulate_driver.cpp");
    let options =
        "-std=c++17 -O2 -march=native -ffp-contract=off -fwrapv -fPIC -shared -Wno-unknown-pragmas -o libcuda.so.1";
    let Ok(done) = Command::new("c++").args(options.split(' ')).arg(source).current_dir(folder.path()).output() else {
        assert!(std::env::var_os("REQUIRE_EMULATION").is_none(), "REQUIRE_EMULATION is set, and there is no c++");
        eprintln!("skipped: no c++ here to compile the emulation with");
        return None;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Whichever name is asked for first.
    std::fs::hard_link(folder.path().join("libcuda.so.1"), folder.path().join("libcuda.so")).unwrap();
    Some(folder)
}
