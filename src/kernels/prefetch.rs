//! Fetches what is read next into the nearest cache: processors foresee no more than what follows within a page.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Begins to fetch values that will be read soon; there may be fewer cache lines than that takes.
#[inline(always)]
pub(super) fn prefetch<T>(values: &[T]) {
    let begin = values.as_ptr().cast::<u8>();
    for at in (0..size_of_val(values)).step_by(LINE) {
        let line = begin.wrapping_add(at);
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: it reads nothing, at any address; all processors of the architecture have it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        // SAFETY: it reads nothing, at any address.
        unsafe {
            core::arch::asm!("prfm pldl1keep, [{line}]", line = in(reg) line, options(nostack, preserves_flags, readonly));
        }
        let _ = line;
    }
}
