//! What is asked of the system's memory: to take back what the C library's allocator holds, and for huge pages.

/// Gives memory that is no longer used back to the system. glibc keeps freed memory for as long as something above it is in use, for each
/// thread that ever allocated apart: a model that comes and goes on threads of its own leaves as much as it took, in one place after the
/// other. Other C libraries do not.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the allocator's own locks, and touches free memory only; 0 is how much it leaves at the top of the heap.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Bytes of a huge page.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Lets values of which all will be used lie in huge pages, where the system has those for whoever asks: of the many places that a convolution
/// reads at once, each in a page of its own, a processor remembers only so many.
pub(super) fn prefer_huge_pages<T>(values: &mut [T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let range = values.as_mut_ptr_range();
        let begin = range.start.cast::<u8>();
        let end = range.end as usize / HUGE_PAGE * HUGE_PAGE;
        let begin = begin.wrapping_add(begin.align_offset(HUGE_PAGE));
        if (begin as usize) < end {
            // SAFETY: all of this range belongs to `values`. Whatever pages it lies in, its contents stay.
            unsafe { libc::madvise(begin.cast(), end - begin as usize, libc::MADV_HUGEPAGE) };
        }
    }
    let _ = values;
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Bytes of memory that this process has.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
    }

    #[test]
    fn what_was_freed_below_something_in_use_is_given_back() {
        let mut pieces: Vec<Vec<u8>> = (0..128 << 10).map(|_| vec![1; 1 << 10]).collect();
        let last = pieces.split_off(pieces.len() - 1);
        drop(pieces);
        let before = resident();
        give_back_memory();
        let freed = before.saturating_sub(resident());
        assert!(freed > 64 << 20, "{freed} bytes");
        drop(last);
    }
}
