//! What a run can be asked for while it goes on, from any thread: to pause, to go on, to send a picture, to look at
//! scores otherwise, to run another model, to teach one.

mod running;
mod swap;
mod teaching;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::Result;
use crate::tuning::Tunings;

pub use running::RunningModel;
use running::Runs;
use swap::Desk;
pub use swap::{Asked, Job, Labels, ModelRequest, Offer, Progress, Refused, Replaced, Status, Swapped, Ticket};
pub use teaching::{
    Capturing, ClassStatus, Lesson, LessonClass, LessonSuspect, Running, TeachRequest, TeachStatus, Teacher, Training,
};

/// A handle on a run: clones ask the same one. It never waits for the run.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    paused: AtomicBool,
    snapshots: AtomicU64,
    tunings: Tunings,
    running: Runs,
    desk: Desk,
    teacher: OnceLock<Arc<dyn Teacher>>,
}

/// The requests to change a run, for whoever does what they ask for. When it is dropped, those that wait are refused, and all others.
#[derive(Debug)]
pub struct Requests(Control);

impl Requests {
    /// The next one, after waiting for it `longest`.
    pub fn next(&self, longest: Duration) -> Option<Job> {
        self.0.0.desk.next(longest)
    }

    /// What can be asked for from now on.
    pub fn offer(&self, offer: Offer) {
        self.0.0.desk.offer(Some(offer));
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.0.desk.offer(None);
    }
}

impl Control {
    /// From the next frame on, frames are taken and dropped without being looked at.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Frames are looked at again.
    pub fn resume(&self) {
        self.0.paused.store(false, Ordering::Relaxed);
    }

    /// Whether frames are dropped without being looked at.
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Asks the outputs that send single pictures for the next frame's. False, and nothing is asked, while paused: who paused a
    /// camera wants no pictures of it.
    #[must_use]
    pub fn snapshot(&self) -> bool {
        let may = !self.is_paused();
        if may {
            self.0.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// How many pictures were asked for so far. An output sends one when this has changed.
    pub fn snapshots(&self) -> u64 {
        self.0.snapshots.load(Ordering::Relaxed)
    }

    /// What can be changed of regions: thresholds, and the like. The run takes it over between two frames.
    pub fn tunings(&self) -> &Tunings {
        &self.0.tunings
    }

    /// The models that look at regions, region by region; none before the run has begun.
    pub fn running(&self) -> Arc<[RunningModel]> {
        self.0.running.get()
    }

    /// Says which models look at regions from now on.
    pub fn set_running(&self, models: Vec<RunningModel>) {
        self.0.running.set(models);
    }

    /// Asks for another model in the place of the running one. It is loaded and checked beside that one, compared with it on frames, and
    /// then takes its place between two frames; or it is refused, and what ran before goes on. The ticket tells how far that is.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) where this run changes no models (without the setting `models`);
    /// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) while an earlier request is not settled.
    pub fn swap(&self, request: ModelRequest) -> Result<Ticket> {
        self.0.desk.ask(Asked::Model(request))
    }

    /// Asks for the settings to be read again, as SIGHUP does.
    ///
    /// # Errors
    /// As [`swap`](Self::swap), where there is no file of settings.
    pub fn reload(&self) -> Result<Ticket> {
        self.0.desk.ask(Asked::Settings)
    }

    /// Asks for a model that was taught, in `file`, in the place of the running one, as [`swap`](Self::swap) does.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub fn try_taught(&self, file: PathBuf) -> Result<Ticket> {
        self.0.desk.ask(Asked::Taught(file))
    }

    /// Asks for the model that ran before a taught one was tried.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub fn discard_taught(&self) -> Result<Ticket> {
        self.0.desk.ask(Asked::BeforeTaught)
    }

    /// Whoever teaches classes with pictures of this run; `None` where nobody does.
    pub fn teacher(&self) -> Option<&Arc<dyn Teacher>> {
        self.0.teacher.get()
    }

    /// Says who teaches with pictures of this run. The first one stays.
    pub fn set_teacher(&self, teacher: Arc<dyn Teacher>) {
        let _ = self.0.teacher.set(teacher);
    }

    /// The newest request that was taken, of whoever; `None` before the first.
    pub fn newest_request(&self) -> Option<Ticket> {
        self.0.desk.newest()
    }

    /// Takes the requests of this run, for as long as what is returned lives. Where nobody does, they are refused.
    #[must_use]
    pub fn serve(&self, offer: Offer) -> Requests {
        self.0.desk.offer(Some(offer));
        Requests(self.clone())
    }
}

impl PartialEq for Control {
    /// Whether both ask the same run.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Control {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_ask_the_same_run_and_a_paused_one_sends_no_pictures() {
        let control = Control::default();
        let other = control.clone();
        assert!(other == control && other != Control::default());
        other.pause();
        assert!(control.is_paused() && !control.snapshot());
        control.resume();
        assert!(!other.is_paused() && other.snapshot() && other.snapshot());
        assert_eq!(control.snapshots(), 2);
    }
}
