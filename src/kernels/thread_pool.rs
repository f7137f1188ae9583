//! A pool of threads that run the same work together.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};

/// Iterations that a thread spins for work before it parks, and for the others to finish before it yields its core. Between two
/// layers work comes within microseconds; between two images threads sleep.
const SPINS: usize = 4000;

/// The work of every thread, called with its index.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// A fixed number of threads, the caller's among them, that do the same work at the same time.
///
/// Starting work takes about a microsecond while the others spin, and a wake-up if they sleep. Nothing is allocated.
#[derive(Debug)]
pub struct ThreadPool {
    shared: Arc<Shared>,
    others: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts the works started.
    turn: AtomicUsize,
    /// Number of threads other than the caller that have not finished the current work.
    busy: AtomicUsize,
    work: UnsafeCell<Option<&'static Work<'static>>>,
    over: AtomicBool,
    panicked: AtomicBool,
}

// SAFETY: `work` is written by `ThreadPool::run` only, while no other thread reads it: all have finished the work before
// (`busy` is 0), and they read the next one after they have seen `turn` change.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl ThreadPool {
    /// A thread pool of `threads` threads, of which the caller of [`ThreadPool::run`] is one.
    ///
    /// # Panics
    /// If `threads` is 0, or a thread cannot be started.
    pub fn new(threads: usize) -> Self {
        assert!(threads > 0, "a thread pool without threads");
        let shared = Arc::new(Shared {
            turn: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            over: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let start = |index: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("densight {index}"));
            thread.spawn(move || shared.serve(index)).expect("the system has a thread left")
        };
        Self { others: (1..threads).map(start).collect(), shared }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        1 + self.others.len()
    }

    /// Every thread calls `work` once, with its index from 0 on; returns when all have finished.
    ///
    /// # Panics
    /// If `work` panics in any thread.
    pub fn run(&mut self, work: &Work<'_>) {
        if self.others.is_empty() {
            return work(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. All threads are done with it when this function returns or unwinds.
        let lasting = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        // SAFETY: `run` takes `self` exclusively and has waited for everyone before, so nobody reads it now.
        unsafe { *shared.work.get() = Some(lasting) };
        shared.busy.store(self.others.len(), Ordering::Relaxed);
        shared.turn.fetch_add(1, Ordering::Release);
        self.others.iter().map(JoinHandle::thread).for_each(Thread::unpark);
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let mut spins = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "another thread of the pool panicked");
    }
}

impl Shared {
    /// The loop of each thread other than the caller.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        loop {
            let mut spins = 0;
            while self.turn.load(Ordering::Acquire) == seen {
                spins += 1;
                // If the wake-up came first, `park` returns at once.
                if spins < SPINS { std::hint::spin_loop() } else { std::thread::park() }
            }
            seen = seen.wrapping_add(1);
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: it was written before `turn` changed, and is not written again until `busy` is 0.
            let work = unsafe { *self.work.get() };
            let done = work.is_none_or(|work| catch_unwind(AssertUnwindSafe(|| work(index))).is_ok());
            if !done {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.turn.fetch_add(1, Ordering::Release);
        for other in self.others.drain(..) {
            other.thread().unpark();
            // Panics are caught in the thread, so joining does not fail.
            let _ = other.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_works_once_each_time() {
        for threads in 1..5 {
            let mut thread_pool = ThreadPool::new(threads);
            assert_eq!(thread_pool.threads(), threads);
            for _ in 0..200 {
                let calls: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                thread_pool.run(&|index| {
                    calls[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleeping_members_are_woken() {
        let mut thread_pool = ThreadPool::new(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            thread_pool.run(&|index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn a_panic_of_any_member_is_the_callers() {
        let mut thread_pool = ThreadPool::new(3);
        for culprit in 0..3 {
            let run = catch_unwind(AssertUnwindSafe(|| thread_pool.run(&|index| assert_ne!(index, culprit))));
            assert!(run.is_err(), "{culprit}");
        }
        thread_pool.run(&|_| {});
    }
}
