//! The calling thread's own clock.

use std::time::Duration;

/// Processor time that the calling thread has used, to the nanosecond: it stands still while others have the processor. `None` where
/// the system has no such clock.
pub fn thread_clock() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one `timespec`, to where there is one.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        (failed == 0).then(|| Duration::new(seconds, nanoseconds))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_the_thread_sleeps() {
        let Some(before) = thread_clock() else { return };
        std::thread::sleep(Duration::from_millis(50));
        let slept = thread_clock().unwrap() - before;
        assert!(slept < Duration::from_millis(25), "{slept:?}");
        while thread_clock().unwrap() - before < slept + Duration::from_millis(5) {}
    }
}
