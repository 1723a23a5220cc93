//! The sixteen partial sums of sums that decide, in registers.

/// Partial sums of a sum.
pub(crate) const PARTIAL: usize = 16;

/// Sixteen 64-bit floats. As with [`Lanes`](crate::lanes::Lanes), a value exists only where the processor has the
/// instructions of its type, and everything is inlined into a function that is compiled for them.
pub(crate) trait Partial: Copy {
    /// # Safety
    /// The processor has the instructions.
    unsafe fn zero() -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn widen(values: &[f32; PARTIAL]) -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn load(values: &[f64; PARTIAL]) -> Self;
    fn sub(self, other: Self) -> Self;
    /// `self * factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Partial sum `l` takes `l + 8`, then `l + 4`, `l + 2`, `l + 1`.
    fn total(self) -> f64;
}

/// For any processor.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f64; PARTIAL]);

impl Partial for Plain {
    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([0.0; PARTIAL])
    }

    #[inline(always)]
    unsafe fn widen(values: &[f32; PARTIAL]) -> Self {
        Plain(values.map(f64::from))
    }

    #[inline(always)]
    unsafe fn load(values: &[f64; PARTIAL]) -> Self {
        Plain(*values)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Plain(std::array::from_fn(|l| self.0[l] - other.0[l]))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Plain(std::array::from_fn(|l| self.0[l].mul_add(factor.0[l], term.0[l])))
    }

    #[inline(always)]
    fn total(self) -> f64 {
        let mut partial = self.0;
        for width in [8, 4, 2, 1] {
            for l in 0..width {
                partial[l] += partial[l + width];
            }
        }
        partial[0]
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PARTIAL, Partial};
    use std::arch::x86_64::*;

    /// With AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256d, __m256d, __m256d, __m256d);

    impl Partial for Avx2 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's promise.
            let zero = unsafe { _mm256_setzero_pd() };
            Avx2(zero, zero, zero, zero)
        }

        #[inline(always)]
        unsafe fn widen(values: &[f32; PARTIAL]) -> Self {
            let from = values.as_ptr();
            // SAFETY: the caller's promise, and sixteen values are there.
            unsafe {
                Avx2(
                    _mm256_cvtps_pd(_mm_loadu_ps(from)),
                    _mm256_cvtps_pd(_mm_loadu_ps(from.add(4))),
                    _mm256_cvtps_pd(_mm_loadu_ps(from.add(8))),
                    _mm256_cvtps_pd(_mm_loadu_ps(from.add(12))),
                )
            }
        }

        #[inline(always)]
        unsafe fn load(values: &[f64; PARTIAL]) -> Self {
            let from = values.as_ptr();
            // SAFETY: the caller's promise, and sixteen values are there.
            unsafe {
                Avx2(
                    _mm256_loadu_pd(from),
                    _mm256_loadu_pd(from.add(4)),
                    _mm256_loadu_pd(from.add(8)),
                    _mm256_loadu_pd(from.add(12)),
                )
            }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: the values exist, so the processor has AVX2.
            unsafe {
                Avx2(
                    _mm256_sub_pd(self.0, other.0),
                    _mm256_sub_pd(self.1, other.1),
                    _mm256_sub_pd(self.2, other.2),
                    _mm256_sub_pd(self.3, other.3),
                )
            }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the values exist, so the processor has FMA.
            unsafe {
                Avx2(
                    _mm256_fmadd_pd(self.0, factor.0, term.0),
                    _mm256_fmadd_pd(self.1, factor.1, term.1),
                    _mm256_fmadd_pd(self.2, factor.2, term.2),
                    _mm256_fmadd_pd(self.3, factor.3, term.3),
                )
            }
        }

        #[inline(always)]
        fn total(self) -> f64 {
            // SAFETY: the value exists, so the processor has AVX2.
            unsafe { four(_mm256_add_pd(_mm256_add_pd(self.0, self.2), _mm256_add_pd(self.1, self.3))) }
        }
    }

    /// With AVX-512.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512d, __m512d);

    impl Partial for Avx512 {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's promise.
            let zero = unsafe { _mm512_setzero_pd() };
            Avx512(zero, zero)
        }

        #[inline(always)]
        unsafe fn widen(values: &[f32; PARTIAL]) -> Self {
            let from = values.as_ptr();
            // SAFETY: the caller's promise, and sixteen values are there.
            unsafe { Avx512(_mm512_cvtps_pd(_mm256_loadu_ps(from)), _mm512_cvtps_pd(_mm256_loadu_ps(from.add(8)))) }
        }

        #[inline(always)]
        unsafe fn load(values: &[f64; PARTIAL]) -> Self {
            let from = values.as_ptr();
            // SAFETY: the caller's promise, and sixteen values are there.
            unsafe { Avx512(_mm512_loadu_pd(from), _mm512_loadu_pd(from.add(8))) }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: the values exist, so the processor has AVX-512.
            unsafe { Avx512(_mm512_sub_pd(self.0, other.0), _mm512_sub_pd(self.1, other.1)) }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the values exist, so the processor has AVX-512.
            unsafe { Avx512(_mm512_fmadd_pd(self.0, factor.0, term.0), _mm512_fmadd_pd(self.1, factor.1, term.1)) }
        }

        #[inline(always)]
        fn total(self) -> f64 {
            // SAFETY: the value exists, so the processor has AVX-512, and AVX2 with it.
            unsafe {
                let eight = _mm512_add_pd(self.0, self.1);
                four(_mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd::<1>(eight)))
            }
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn four(partial: __m256d) -> f64 {
        // SAFETY: the caller's promise.
        unsafe {
            let two = _mm_add_pd(_mm256_castpd256_pd128(partial), _mm256_extractf128_pd::<1>(partial));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    }
}
