//! Loops with the same bits on registers of any width.

/// Calls a function that is `#[inline(always)]`, compiled for the widest registers of this processor: it has the same
/// bits with any, as long as nothing in it is a fused multiply-add.
#[macro_export]
macro_rules! as_wide_as_can_be {
    ($each:ident($($name:ident: $type:ty),*) $(-> $total:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,avx512f,avx512dq,avx512vl")]
            fn on_avx512($($name: $type),*) $(-> $total)? {
                $each($($name),*)
            }
            #[target_feature(enable = "avx2")]
            fn on_avx2($($name: $type),*) $(-> $total)? {
                $each($($name),*)
            }
            let has_avx2 = ::std::arch::is_x86_feature_detected!("avx2");
            if has_avx2
                && ::std::arch::is_x86_feature_detected!("avx512f")
                && ::std::arch::is_x86_feature_detected!("avx512dq")
                && ::std::arch::is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the processor was asked.
                return unsafe { on_avx512($($name),*) };
            }
            if has_avx2 {
                // SAFETY: the processor was asked.
                return unsafe { on_avx2($($name),*) };
            }
        }
        $each($($name),*)
    }};
}
