//! A thread that does one job after the other, so that none of them delays the camera loop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result, reason};

/// Jobs that wait at most; further ones are lost.
pub(super) const QUEUE: usize = 32;
/// Bytes of pictures that wait at most, unless it is a single one.
const BYTES: usize = 32 << 20;
/// Longest wait for what is left to do, at the end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for a job that was asked to stop.
const LAST: Duration = Duration::from_millis(500);
/// Messages that wait to be told at most; older ones are forgotten.
const TOLD: usize = 8;

/// What the thread does.
pub(super) trait Work<T>: Send + 'static {
    /// Does a job. It should give up when `stop` is raised.
    fn work(&mut self, job: T, stop: &Stop) -> Settled;

    /// Does what is left when no job will follow.
    fn end(&mut self) -> Settled {
        Settled { events: 0, result: Ok(()) }
    }
}

/// Of how many events it is known now what became of them, and what.
pub(super) struct Settled {
    pub(super) events: u64,
    pub(super) result: Result<()>,
}

impl From<Result<()>> for Settled {
    /// Of one.
    fn from(result: Result<()>) -> Self {
        Self { events: 1, result }
    }
}

/// The thread, and what is known of its work.
pub(super) struct Worker<T> {
    name: &'static str,
    /// With the bytes of each.
    jobs: Option<SyncSender<(T, usize)>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Events so far.
    made: u64,
    /// Whether an event found the queue full, and since then it was never half empty.
    full: bool,
}

#[derive(Default)]
struct Shared {
    /// Events that became what they should.
    done: AtomicU64,
    /// Those that did not.
    lost: AtomicU64,
    /// Jobs that wait.
    waiting: AtomicU64,
    /// Bytes of them.
    bytes: AtomicUsize,
    messages: Mutex<VecDeque<Error>>,
    stop: Stop,
}

/// Whether a job should give up, for jobs that wait.
#[derive(Default)]
pub(super) struct Stop {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn raise(&self) {
        *lock(&self.raised) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_raised(&self) -> bool {
        *lock(&self.raised)
    }

    /// Waits for so long; true if the job should give up.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(lock(&self.raised), time, |raised| !*raised);
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is locked here is ever left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tell(&self, error: Error) {
        let mut messages = lock(&self.messages);
        if messages.len() == TOLD {
            messages.pop_front();
        }
        messages.push_back(error);
    }
}

impl<T: Send + 'static> Worker<T> {
    /// A thread that gives each job to `work`. What one fails with is told once, until another one succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the system gives no thread.
    pub(super) fn start(name: &'static str, work: impl Work<T>) -> Result<Self> {
        let (jobs, theirs) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || all(&theirs, &of_thread, work));
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Output, format!("cannot start the thread {name}: {}", reason(&e))).caused_by(e)
        })?;
        Ok(Self { name, jobs: Some(jobs), shared, thread: Some(thread), made: 0, full: false })
    }

    /// Gives it an event with a picture of so many `bytes`, if fewer than 32 jobs wait, with fewer than 32 MiB; else the event is lost,
    /// which is told once until half of that is done.
    pub(super) fn give(&mut self, job: T, bytes: usize) {
        self.made += 1;
        let taken = self.send(job, bytes);
        if !taken {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            if !self.full {
                let message = format!("{}: too many events wait already, further ones are lost", self.name);
                self.shared.tell(Error::new(ErrorKind::Output, message));
            }
        }
        // A queue that is emptied as slowly as it is filled is told of once.
        self.full = !taken || (self.full && self.shared.waiting.load(Ordering::Relaxed) >= QUEUE as u64 / 2);
    }

    /// Gives it what is no event and may be left out: only while fewer than half as many jobs wait.
    #[cfg(any(test, feature = "record"))]
    pub(super) fn offer(&mut self, job: impl FnOnce() -> T, bytes: usize) {
        if self.shared.waiting.load(Ordering::Relaxed) < QUEUE as u64 / 2 && self.has_room(bytes) {
            let _ = self.send(job(), bytes);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        waiting == 0 || waiting.saturating_add(bytes) <= BYTES
    }

    fn send(&self, job: T, bytes: usize) -> bool {
        let Some(jobs) = self.jobs.as_ref().filter(|_| self.has_room(bytes)) else { return false };
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = jobs.try_send((job, bytes)).is_ok();
        if !taken {
            self.shared.taken(bytes);
        }
        taken
    }

    /// A message that has not been told yet.
    pub(super) fn message(&self) -> Option<Error> {
        lock(&self.shared.messages).pop_front()
    }

    /// Events of which nothing came, so far; once finished, all but those that became what they should.
    pub(super) fn lost(&self) -> u64 {
        match self.thread {
            Some(_) => self.shared.lost.load(Ordering::Relaxed),
            None => self.made.saturating_sub(self.shared.done.load(Ordering::Relaxed)),
        }
    }

    /// Ends the thread: what waits is done if it takes no more than two seconds.
    pub(super) fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.jobs = None;
        wait_for(&thread, PATIENCE);
        self.shared.stop.raise();
        wait_for(&thread, LAST);
        if thread.is_finished() {
            // A panic has cost the events that are not done.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.shared.stop.raise();
    }
}

fn wait_for(thread: &JoinHandle<()>, longest: Duration) {
    let begin = Instant::now();
    while !thread.is_finished() && begin.elapsed() < longest {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Does all jobs until nobody gives any more; those that are left when it is asked to stop are lost.
fn all<T>(jobs: &Receiver<(T, usize)>, shared: &Shared, mut work: impl Work<T>) {
    let mut failed = 0;
    for (job, bytes) in jobs {
        shared.taken(bytes);
        if !shared.stop.is_raised() {
            shared.settle(work.work(job, &shared.stop), &mut failed);
        }
    }
    shared.settle(work.end(), &mut failed);
}

impl Shared {
    /// A job with so many bytes waits no more.
    fn taken(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts and tells what became of events; `failed` of those before failed in a row.
    fn settle(&self, Settled { events, result }: Settled, failed: &mut u64) {
        match result {
            Ok(()) => {
                self.done.fetch_add(events, Ordering::Relaxed);
                if events > 0 && *failed > 0 {
                    self.tell(Error::new(ErrorKind::Output, format!("it works again: {failed} events were lost")));
                    *failed = 0;
                }
            }
            Err(error) => {
                self.lost.fetch_add(events, Ordering::Relaxed);
                if *failed == 0 {
                    self.tell(error);
                }
                *failed += events.max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as long as it is told, and fails for odd numbers.
    struct Slow(Duration, Arc<AtomicU64>);

    impl Work<u64> for Slow {
        fn work(&mut self, job: u64, stop: &Stop) -> Settled {
            if stop.wait(self.0) {
                return Err(Error::new(ErrorKind::Output, "stopped")).into();
            }
            self.1.fetch_add(1, Ordering::Relaxed);
            if job % 2 == 1 { Err(Error::new(ErrorKind::Output, format!("job {job} failed"))) } else { Ok(()) }.into()
        }
    }

    fn messages(worker: &Worker<u64>) -> Vec<String> {
        std::iter::from_fn(|| worker.message()).map(|error| error.to_string()).collect()
    }

    #[test]
    fn what_is_made_is_done_or_lost() {
        let done = Arc::new(AtomicU64::new(0));
        let mut worker = Worker::start("test", Slow(Duration::ZERO, done.clone())).unwrap();
        for job in [0, 2, 1, 3, 4] {
            worker.give(job, 0);
        }
        worker.finish();
        assert_eq!((done.load(Ordering::Relaxed), worker.lost()), (5, 2));
        assert_eq!(messages(&worker), ["job 1 failed", "it works again: 2 events were lost"]);
    }

    #[test]
    fn a_job_that_hangs_costs_events_and_never_waits() {
        let done = Arc::new(AtomicU64::new(0));
        let mut worker = Worker::start("test", Slow(Duration::from_secs(3600), done.clone())).unwrap();
        let begin = Instant::now();
        for job in 0..1000 {
            worker.give(2 * job, 0);
            worker.offer(|| 0, 0);
        }
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert!(worker.lost() >= 1000 - 2 * QUEUE as u64, "{}", worker.lost());
        worker.finish();
        assert!(begin.elapsed() < PATIENCE + LAST + Duration::from_secs(5));
        assert_eq!((done.load(Ordering::Relaxed), worker.lost()), (0, 1000));
        assert_eq!(messages(&worker)[0], "test: too many events wait already, further ones are lost");
    }

    #[test]
    fn pictures_that_wait_have_a_bound_in_bytes() {
        let mut worker = Worker::start("test", Slow(Duration::from_secs(3600), Arc::default())).unwrap();
        worker.give(0, 0);
        while worker.shared.waiting.load(Ordering::Relaxed) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        // One that is larger than the bound is taken alone.
        for bytes in [2 * BYTES, 1] {
            worker.give(0, bytes);
        }
        worker.offer(|| 0, 1);
        assert_eq!((worker.lost(), worker.shared.waiting.load(Ordering::Relaxed)), (1, 1));
    }
}
