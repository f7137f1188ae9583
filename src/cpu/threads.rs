//! How many threads may compute, for how long one did, and at which priority.

use std::time::Duration;

/// Threads that any machine may be asked for.
const ANYWHERE: usize = 16;
/// Threads for each core of larger machines: beyond that all they do is wait for one another.
const FOR_EACH_CORE: usize = 4;

/// The most threads that can be asked for on this machine.
pub fn most_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_mul(FOR_EACH_CORE).max(ANYWHERE)
}

/// Processor time that the calling thread has used: unlike a clock's, it does not grow while others have the processor. `None` where the
/// system does not tell.
pub fn thread_time() -> Option<Duration> {
    thread_times().map(|[worked, _]| worked)
}

/// [`thread_time`], and the time in which the calling thread could have worked, but others had the processor.
pub fn thread_times() -> Option<[Duration; 2]> {
    // The kernel adds up when a thread leaves the processor, and else only now and then.
    std::thread::yield_now();
    let text = super::text("/proc/thread-self/schedstat")?;
    let mut numbers = text.split(' ').map(|number| number.parse().ok().map(Duration::from_nanos));
    Some([numbers.next()??, numbers.next()??])
}

/// Processor time that all threads of the process `id` have used, as far as they are still there; `None` where the system does not tell. It is
/// exact for threads that wait, and lags up to a few milliseconds behind for one that runs.
pub fn process_time(id: u32) -> Option<Duration> {
    let threads = super::entries(format!("/proc/{id}/task"), |_| true);
    let time = |thread: &std::path::PathBuf| super::text(thread.join("schedstat"))?.split(' ').next()?.parse().ok();
    let nanoseconds: Vec<u64> = threads.iter().filter_map(time).collect();
    (!nanoseconds.is_empty()).then(|| Duration::from_nanos(nanoseconds.iter().sum()))
}

/// Lowers the scheduling priority of the calling thread, and of threads that it starts (nice 10). Only root could raise it again.
pub fn lower_priority() {
    // Where it cannot be lowered, the thread competes with the loop, and does its work all the same.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_work_takes_processor_time() {
        let Some(before) = thread_time() else { return };
        std::thread::sleep(Duration::from_millis(60));
        let slept = thread_time().unwrap() - before;
        let begin = Instant::now();
        while thread_time().unwrap() - before < slept + Duration::from_millis(20) {
            assert!(begin.elapsed() < Duration::from_secs(60), "time does not pass");
        }
        assert!(slept < Duration::from_millis(30), "{slept:?}");
        assert!(begin.elapsed() >= Duration::from_millis(19), "{:?}", begin.elapsed());
    }
}
