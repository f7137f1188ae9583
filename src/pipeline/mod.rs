//! The camera loop: a thread captures, the newest frame wins, the network labels it, outputs take the result.
//!
//! ```text
//! Source -> capture.rs -> handover.rs -> decode, scene.rs, watch.rs: Classifier, selection.rs, events -> overlay -> Sinks
//!           (a thread)    (one frame)    (the calling thread, process.rs; region by region)
//! ```
//!
//! While it is paused ([`Control`]) frames go no further than the handover. Models are exchanged between two frames ([`Exchange`]): a new
//! one is compared with the running one by the thread that brings it (`shadow.rs`), on copies of frames. What was changed of regions meanwhile is taken over
//! between two frames, too.

mod capture;
mod damage;
mod exchange;
mod handover;
mod needs;
mod process;
mod region;
mod replace;
mod scene;
mod selection;
mod shadow;
mod statistics;
#[cfg(test)]
mod tests;
mod trial;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::camera::{Source, Turning};
use crate::error::{Error, Result};
use crate::output::Sink;

use process::Loop;

pub use crate::control::Control;
pub use exchange::Exchange;
pub use region::{Place, Region};
pub use scene::{Models, SharedClassifier, shared};
pub use statistics::Summary;
pub use trial::Trial;

/// How frames are processed, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The camera's name, if it has one.
    pub name: Option<Arc<str>>,
    /// How pictures are turned first.
    pub turning: Turning,
    /// What networks look at, one after the other.
    pub regions: Vec<Region>,
    /// Pictures to run through the network before capturing begins, so that the first frames are not slow.
    pub warmup: u32,
    /// Stop after this many results.
    pub frames: Option<u64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// What the run can be asked for while it goes on.
    pub control: Control,
    /// By which models are exchanged while the run goes on.
    pub exchange: Exchange,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            turning: Turning::default(),
            regions: vec![Region::default()],
            warmup: 2,
            frames: None,
            duration: None,
            control: Control::default(),
            exchange: Exchange::default(),
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has no more frames.
    Source,
    /// [`Options::frames`] or [`Options::duration`] was reached.
    Limit,
    /// Whoever read an output is gone (a closed pipe).
    Reader,
    /// It was asked to stop.
    Stopped,
}

/// What a run came to. There is a summary even when it failed.
#[derive(Debug)]
pub struct Outcome {
    /// Frames, drops, latencies.
    pub summary: Summary,
    /// Why it ended. Errors, by their [kind](crate::error::ErrorKind): `Camera` for a source that failed, `Ended` for a live one that ended,
    /// `Image` for files of which nothing could be decoded, `Output` for a result that could not be delivered, `Model` for a network that
    /// failed, `Usage` for a region that is not inside a picture.
    pub end: Result<End>,
}

/// Processes the frames of `source` until it ends, a limit is reached, a sink's reader is gone, or `stop` becomes
/// true. `warn` is told what went wrong without ending the run. The sinks are finished when this returns.
///
/// # Panics
/// If a region of `options` names a classifier that is not there.
pub fn run(
    source: Box<dyn Source>,
    classifiers: Vec<SharedClassifier>,
    sinks: Vec<Box<dyn Sink>>,
    options: &Options,
    stop: &AtomicBool,
    warn: &mut dyn FnMut(&Error),
) -> Outcome {
    let models = Models { classifiers, regions: options.regions.clone() };
    assert!(models.is_whole(), "each region has a classifier");
    options.exchange.begin(&models);
    let mut state = Loop::new(source.is_live(), models, sinks, options, warn);
    let end = state.run(source, stop);
    options.exchange.end();
    state.finish(end)
}
