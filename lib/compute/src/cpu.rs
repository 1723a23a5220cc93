//! What this processor can do, asked once.

/// The arithmetic that an encoder runs on. Weights are packed alike for all machines of one precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// 32-bit floats, any processor.
    Plain,
    /// 32-bit floats, AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 32-bit floats, AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// bf16 products by `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// bf16 products by tiles.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Machine {
    /// What the instructions are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Machine::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Bf16 => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Machine::Amx => "amx-bf16",
        }
    }

    /// The machines of 32-bit floats that run here, best first; never empty.
    pub(crate) fn exact() -> Vec<Machine> {
        let mut machines = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                machines.push(Machine::Avx512);
            }
            if has_avx2() {
                machines.push(Machine::Avx2);
            }
        }
        machines.push(Machine::Plain);
        machines
    }

    /// The machines of bf16 products that run here, best first; often empty.
    pub(crate) fn half() -> Vec<Machine> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "only x86-64 has such machines"))]
        let mut machines = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if has_avx512() && is_x86_feature_detected!("avx512bf16") {
            if has_amx() {
                machines.push(Machine::Amx);
            }
            machines.push(Machine::Avx512Bf16);
        }
        machines
    }
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// AVX-512 as every processor since Skylake-SP has it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && has_avx2()
}

/// AVX-512 with products of 16-bit integers.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512vnni() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512vnni")
}

/// AMX with bf16, and AVX512-BF16 beside it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_amx_bf16() -> bool {
    has_avx512() && is_x86_feature_detected!("avx512bf16") && has_amx()
}

/// Whether tiles of bf16 may be used, and asks the kernel for them the first time. The permission holds for all
/// threads.
#[cfg(target_arch = "x86_64")]
fn has_amx() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        const OSXSAVE: u32 = 1 << 27;
        let features = __cpuid_count(7, 0).edx;
        __cpuid(0).eax >= 7
            && features & (BF16 | TILE) == BF16 | TILE
            && __cpuid(1).ecx & OSXSAVE != 0
            && system_saves_tiles()
            && tiles_permitted()
    })
}

/// Bits 17 and 18 of XCR0: the system saves the tile configuration and the tiles.
#[cfg(target_arch = "x86_64")]
fn system_saves_tiles() -> bool {
    let low: u32;
    // SAFETY: the caller has seen OSXSAVE, so the instruction exists; it reads register 0 and writes edx:eax.
    unsafe {
        std::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack));
    }
    low >> 17 & 3 == 3
}

/// Asks Linux for the tile registers, which a process has to do once: `arch_prctl(ARCH_REQ_XCOMP_PERM,
/// XFEATURE_XTILEDATA)`.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let answer: i64;
    // SAFETY: a system call with two plain numbers; it touches no memory of ours, and the kernel clobbers rcx and r11
    // only.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn tiles_permitted() -> bool {
    false
}
