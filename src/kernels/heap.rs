//! Memory that the C library's allocator holds back.

/// Gives memory that is no longer used back to the system. glibc keeps freed memory for as long as something above it is in use, for each
/// thread that ever allocated apart: a model that comes and goes on threads of its own leaves as much as it took, in one place after the
/// other. Other C libraries do not.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the allocator's own locks, and touches free memory only; 0 is how much it leaves at the top of the heap.
    let _ = unsafe { libc::malloc_trim(0) };
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
