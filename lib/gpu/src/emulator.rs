//! The kernels on a processor, for tests: see `lib/kernels/emulate.h`.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// Words on each side of an array, and what is in them.
const FENCE: usize = 64;
const POISON: u64 = 0xabab_abab_abab_abab;

type Launch = unsafe extern "C" fn(*const c_char, u32, u32, u32, *mut *mut c_void, bool) -> bool;
type Skip = unsafe extern "C" fn(*const c_char, i32);
type TakeRaces = unsafe extern "C" fn(*mut c_char);

/// The compiled kernels. One launch at a time: the emulation has one scheduler.
struct Compiled {
    launch: Launch,
    skip: Skip,
    /// Where races are looked for.
    races: Option<TakeRaces>,
}

/// The memory that tests took, and how kernels run.
pub(crate) struct Emulator {
    reversed: bool,
    racing: bool,
    /// Bytes that may be taken together.
    limit: usize,
    taken: Mutex<Vec<(u64, Box<[u64]>)>>,
}

/// `None`: no C++ compiler here.
fn compiled(racing: bool) -> Option<&'static Mutex<Compiled>> {
    static COMPILED: [OnceLock<Option<Mutex<Compiled>>>; 2] = [OnceLock::new(), OnceLock::new()];
    COMPILED[usize::from(racing)].get_or_init(|| compile(racing).map(Mutex::new)).as_ref()
}

fn compile(racing: bool) -> Option<Compiled> {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels");
    let required = std::env::var_os("REQUIRE_EMULATION").is_some();
    if !kernels.exists() {
        assert!(!required, "REQUIRE_EMULATION is set, and {} is not here", kernels.display());
        return None;
    }
    let place = |name: &str| std::env::temp_dir().join(format!("gpu-{}-{racing}-{name}", std::process::id()));
    let (object, races, library) = (place("emulate.o"), place("races.o"), place("emulation.so"));
    // ThreadSanitizer's calls, without ThreadSanitizer: see emulate_races.cpp.
    let hooks = if racing { " -fsanitize=thread -DEMULATE_RACES" } else { "" };
    for (what, from, to) in [
        (format!("-c{hooks}"), kernels.join("emulate.cpp"), &object),
        ("-c".to_string(), kernels.join("emulate_races.cpp"), &races),
        (format!("-shared {}", races.display()), object.clone(), &library),
    ] {
        let options = "-std=c++17 -O2 -march=native -ffp-contract=off -fwrapv -fPIC -Wall -Wno-unknown-pragmas";
        let mut command = Command::new("c++");
        let done = command.args(options.split(' ')).args(what.split(' ')).arg(from).arg("-o").arg(to).output();
        let Ok(done) = done else {
            assert!(!required, "REQUIRE_EMULATION is set, and there is no c++");
            return None;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    // SAFETY: our own library, which has no initialisation; it is never unloaded.
    let loaded = Box::leak(Box::new(unsafe { libloading::Library::new(&library) }.unwrap()));
    [object, races, library].into_iter().for_each(|path| std::fs::remove_file(path).unwrap());
    // SAFETY: the functions have these types.
    Some(unsafe {
        Compiled {
            launch: *loaded.get(b"emulate_launch\0").unwrap(),
            skip: *loaded.get(b"emulate_skip\0").unwrap(),
            races: racing.then(|| *loaded.get(b"races_take\0").unwrap()),
        }
    })
}

impl Emulator {
    /// `reversed`: see there. `None`, and says so, where the kernels cannot be compiled.
    pub(crate) fn new(reversed: bool) -> Option<Emulator> {
        Emulator::of(reversed, false)
    }

    /// One that ends a test where threads race for shared memory.
    pub(crate) fn racing(reversed: bool) -> Option<Emulator> {
        Emulator::of(reversed, true)
    }

    fn of(reversed: bool, racing: bool) -> Option<Emulator> {
        if compiled(racing).is_none() {
            eprintln!("skipped in emulation: no c++ here, or no lib/kernels");
        }
        compiled(racing).map(|_| Emulator { reversed, racing, limit: usize::MAX, taken: Mutex::default() })
    }

    /// From now on the barrier in this line is left out, in every launch that looks for races.
    pub(crate) fn skip_barrier(file: &'static std::ffi::CStr, line: i32) {
        let compiled = compiled(true).expect("compiled").lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: the name lives for ever.
        unsafe { (compiled.skip)(file.as_ptr(), line) };
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.reversed { "emulation, reversed" } else { "emulation" }
    }

    pub(crate) fn with_limit(self, limit: usize) -> Emulator {
        Emulator { limit, ..self }
    }

    /// Memory between two fences, which nobody may write to. `None`: there is no more.
    pub(crate) fn take(&self, bytes: usize) -> Option<u64> {
        let words = bytes.div_ceil(8);
        let mut taken = self.taken.lock().unwrap();
        if taken.iter().map(|taken| taken.1.len() * 8).sum::<usize>() + bytes > self.limit {
            return None;
        }
        let mut memory = vec![0; words + 2 * FENCE].into_boxed_slice();
        memory[..FENCE].fill(POISON);
        memory[FENCE + words..].fill(POISON);
        let address = memory[FENCE..].as_ptr() as u64;
        taken.push((address, memory));
        Some(address)
    }

    pub(crate) fn free(&self, address: u64) {
        let mut taken = self.taken.lock().unwrap();
        let at = taken.iter().position(|taken| taken.0 == address).expect("memory that was taken");
        let (_, memory) = taken.swap_remove(at);
        let fences = memory[..FENCE].iter().chain(&memory[memory.len() - FENCE..]);
        assert!(fences.copied().all(|word| word == POISON), "a kernel wrote beside an array");
    }

    pub(crate) fn launch(&self, kernel: &str, blocks: u32, threads: u32, shared: u32, arguments: &mut [*mut c_void]) {
        let name = CString::new(kernel).unwrap();
        let compiled = compiled(self.racing).expect("compiled").lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let arguments = arguments.as_mut_ptr();
        // SAFETY: arguments are those of the kernel: the launchers' promise.
        let known = unsafe { (compiled.launch)(name.as_ptr(), blocks, threads, shared, arguments, self.reversed) };
        assert!(known, "no kernel {kernel}");
        if let Some(take) = compiled.races {
            let mut text: [c_char; 256] = [0; 256];
            // SAFETY: it writes so many, a zero among them.
            let found = unsafe {
                take(text.as_mut_ptr());
                std::ffi::CStr::from_ptr(text.as_ptr())
            };
            assert!(found.is_empty(), "{kernel} races: {}", found.to_string_lossy());
        }
    }
}
