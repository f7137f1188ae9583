//! Between the loop and the thread that brings other models: what the loop is to do between two frames, and what it says of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::scene::{Glance, Models};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;

/// Longest wait without looking whether it still makes sense.
const LOOK: Duration = Duration::from_millis(20);

/// By which the models of a run are exchanged: [`replace`](Self::replace). Clones are of the same run, one at a time.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Whether there is an order: all that the loop looks at for each frame.
    asked: AtomicBool,
    slot: Mutex<Slot>,
    changed: Condvar,
    /// Held by whoever gives orders.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Slot {
    /// What is looked with; `None` before and after a run.
    running: Option<Running>,
    order: Option<Asked>,
    news: VecDeque<News>,
}

/// What is looked with, and the labels of each region: whoever asks for them later would have to wait for the loop.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) models: Models,
    pub(super) labels: Vec<Vec<Arc<str>>>,
}

impl Running {
    pub(super) fn new(models: Models) -> Self {
        let labels = models.regions.iter().map(|region| models.labels(region)).collect();
        Self { models, labels }
    }
}

enum Asked {
    Sample,
    Order(Order),
}

/// What the loop is to do between two frames.
pub(super) enum Order {
    /// Put these models in the place of those that run, which it keeps. The labels of these regions are others.
    PutIn { models: Models, relabelled: Vec<Arc<str>> },
    /// Give away what it has kept.
    Keep,
    /// Put what it has kept back in its place.
    TakeBack,
}

/// What the loop says.
pub(super) enum News {
    Sample(Sample),
    PutIn,
    /// What was looked with before.
    Kept(Models),
    /// What had been put in; and what it failed with, if the loop did that by itself.
    TakenBack(Models, Option<Error>),
    /// A frame was looked at while something can be taken back.
    Frame(Vec<Glance>),
}

/// A copy of a frame, with what the running models said of it.
pub(super) struct Sample {
    pub(super) picture: RgbImage,
    pub(super) seen: Vec<Glance>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Exchange").field(&self.lock().running.as_ref().map(|running| &running.models)).finish()
    }
}

impl PartialEq for Exchange {
    /// Whether both are of the same run.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // Every state of it is a valid one.
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins.
    pub(super) fn begin(&self, models: &Models) {
        let running = Running::new(models.clone());
        self.lock().running = Some(running);
    }

    /// The run has ended.
    pub(super) fn end(&self) {
        *self.lock() = Slot::default();
        self.0.asked.store(false, Ordering::Relaxed);
        self.0.changed.notify_all();
    }

    /// What the loop is to do before the next frame.
    pub(super) fn order(&self) -> Option<Order> {
        if !self.0.asked.load(Ordering::Relaxed) {
            return None;
        }
        let mut slot = self.lock();
        match slot.order.take_if(|asked| matches!(asked, Asked::Order(_))) {
            Some(Asked::Order(order)) => {
                self.0.asked.store(false, Ordering::Relaxed);
                Some(order)
            }
            _ => None,
        }
    }

    /// Whether a copy of this frame is wanted.
    pub(super) fn wants_sample(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) && {
            let wanted = self.lock().order.take_if(|asked| matches!(asked, Asked::Sample)).is_some();
            if wanted {
                self.0.asked.store(false, Ordering::Relaxed);
            }
            wanted
        }
    }

    /// Says what the loop has done.
    pub(super) fn tell(&self, news: News) {
        self.lock().news.push_back(news);
        self.0.changed.notify_all();
    }

    /// Whether a run goes on.
    pub fn is_running(&self) -> bool {
        self.lock().running.is_some()
    }

    /// The right to give orders, unless somebody else has it.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(std::sync::TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// What the loop looks with.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] where no run goes on.
    pub(super) fn running(&self) -> Result<Running> {
        self.lock().running.clone().ok_or_else(ended)
    }

    /// What the loop looks with from now on.
    pub(super) fn set_running(&self, new: Running) {
        let mut slot = self.lock();
        let before = slot.running.as_mut().map(|running| std::mem::replace(running, new));
        drop(slot);
        drop(before);
    }

    /// A copy of a frame that the loop has looked at; `None` if there is none by `deadline`, or `given_up` says so before.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] when the run ends.
    pub(super) fn sample(&self, deadline: Instant, given_up: impl Fn() -> bool) -> Result<Option<Sample>> {
        self.ask(Asked::Sample);
        loop {
            match self.news(deadline.min(Instant::now() + LOOK))? {
                Some(News::Sample(sample)) => return Ok(Some(sample)),
                Some(_) => {}
                None if given_up() || Instant::now() >= deadline => {
                    let mut slot = self.lock();
                    slot.order = None;
                    self.0.asked.store(false, Ordering::Relaxed);
                    // The loop may have taken the order meanwhile.
                    slot.news.clear();
                    return Ok(None);
                }
                None => {}
            }
        }
    }

    /// Gives an order.
    pub(super) fn give(&self, order: Order) {
        self.ask(Asked::Order(order));
    }

    fn ask(&self, asked: Asked) {
        self.lock().order = Some(asked);
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// What the loop says next; `None` if it says nothing by `deadline`.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] when the run has ended.
    pub(super) fn news(&self, deadline: Instant) -> Result<Option<News>> {
        let mut slot = self.lock();
        loop {
            if let Some(news) = slot.news.pop_front() {
                return Ok(Some(news));
            }
            if slot.running.is_none() {
                return Err(ended());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            slot = self.0.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Ended, "the run ended before it was done")
}
