//! How other models take the place of those that run: checked, compared beside the loop, put in between two frames, tried, kept or taken
//! back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::{Exchange, News, Order, Running};
use super::scene::Models;
use super::shadow::Comparison;
use super::trial::Trial;
use crate::control::{Control, Progress, Refused, Swapped};
use crate::error::{Error, ErrorKind, Result};
use crate::text;

/// Longest wait without looking whether the run is paused.
const LOOK: Duration = Duration::from_millis(50);

impl Exchange {
    /// Puts `models` in the place of those that run, without losing a frame; the calling thread does all that can be done beside the
    /// loop. First they run on copies of frames, and their labels and times are compared with those of the running models, which is left
    /// out where only regions differ. Then the loop takes them in between two frames. If one fails on a frame, or is too slow there,
    /// those before take its place again, and the frame is looked at by them. While the run is paused (`control`), nothing is compared
    /// or tried.
    ///
    /// States go on where labels are the same. Where they are not, which only `relabel` allows, they begin anew, and end with an event.
    /// `tell` learns how far it is.
    ///
    /// # Errors
    /// Why what ran before goes on: [`ErrorKind::Labels`] for other labels, [`ErrorKind::Model`] for models that are too slow, agree too
    /// rarely or fail, [`ErrorKind::Camera`] where no frames come, [`ErrorKind::Busy`] where another exchange is going on,
    /// [`ErrorKind::Ended`] where no run is.
    ///
    /// # Panics
    /// If a region of `models` names a classifier that is not there.
    pub fn replace(
        &self,
        models: Models,
        relabel: bool,
        trial: &Trial,
        control: &Control,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Swapped, Refused> {
        assert!(models.is_whole(), "each region has a classifier");
        let beside = |error: Error| Refused { kind: error.kind(), reason: error.to_string(), taken_back: false };
        let turn = self.turn();
        if turn.is_none() {
            return Err(beside(Error::new(ErrorKind::Busy, "other models are still being tried: ask again later")));
        }
        let new = Running::new(models);
        let models = &new.models;
        let running = self.running().map_err(beside)?;
        let relabelled = relabelled(&running, &new, relabel).map_err(beside)?;
        let mut comparison = Comparison::new(&running.models, models, &relabelled);
        drop(running);
        if !comparison.is_empty() {
            models.warm_up().map_err(beside)?;
            self.compare(models, trial, control, &mut comparison, tell).map_err(beside)?;
        }
        let after = |(error, taken_back): (Error, bool)| Refused { taken_back, ..beside(error) };
        self.put_in(models, relabelled, trial, control, &mut comparison, tell).map_err(after)?;
        let swapped = Swapped { regions: comparison.replaced(), frames: comparison.frames, unchanged: Vec::new() };
        self.set_running(new);
        Ok(swapped)
    }

    /// Compares on frames.
    fn compare(
        &self,
        models: &Models,
        trial: &Trial,
        control: &Control,
        comparison: &mut Comparison,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let deadline = Instant::now() + trial.wait;
        while comparison.frames < trial.frames && !control.is_paused() {
            tell(Progress::Shadowing { frames: comparison.frames, of: trial.frames });
            match self.sample(deadline, || control.is_paused())? {
                Some(sample) => comparison.add(models, &sample)?,
                None => break,
            }
        }
        if comparison.frames == 0 && !control.is_paused() {
            let message = format!("no frame came for {} s to try it on (swap.wait)", trial.wait.as_secs_f64());
            return Err(Error::new(ErrorKind::Camera, message));
        }
        comparison.check_beside(trial)
    }

    /// Puts models into the loop, and tries them there. Errors come with whether they were taken back.
    fn put_in(
        &self,
        models: &Models,
        relabelled: Vec<Arc<str>>,
        trial: &Trial,
        control: &Control,
        comparison: &mut Comparison,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), (Error, bool)> {
        let ended = |error| (error, false);
        self.give(Order::PutIn { models: models.clone(), relabelled });
        let (mut deadline, mut is_in) = (None, false);
        loop {
            let is_done = is_in
                && (comparison.is_empty()
                    || control.is_paused()
                    || comparison.tried >= trial.frames
                    || deadline.is_some_and(|deadline| Instant::now() >= deadline));
            if is_done || comparison.is_hopeless(trial) {
                break;
            }
            match self.news(Instant::now() + LOOK).map_err(ended)? {
                Some(News::PutIn) => {
                    is_in = true;
                    deadline = Some(Instant::now() + trial.wait);
                    tell(Progress::Trying { frames: 0, of: trial.frames });
                }
                Some(News::Frame(seen)) => {
                    comparison.tried(&seen);
                    tell(Progress::Trying { frames: comparison.tried, of: trial.frames });
                }
                Some(News::TakenBack(failed, error)) => {
                    drop(failed);
                    return Err((why(error), true));
                }
                Some(News::Kept(_) | News::Sample(_)) | None => {}
            }
        }
        let verdict = comparison.check_tried(trial);
        self.give(if verdict.is_ok() { Order::Keep } else { Order::TakeBack });
        loop {
            match self.news(Instant::now() + LOOK).map_err(ended)? {
                // What is no longer used is freed here, not by the loop.
                Some(News::Kept(before)) => {
                    drop(before);
                    return Ok(());
                }
                Some(News::TakenBack(failed, error)) => {
                    drop(failed);
                    return Err((error.or(verdict.err()).unwrap_or_else(|| why(None)), true));
                }
                _ => {}
            }
        }
    }
}

/// The regions of which `new` has other labels than `running`.
///
/// # Errors
/// [`ErrorKind::Labels`] for one, unless that is allowed.
fn relabelled(running: &Running, new: &Running, allowed: bool) -> Result<Vec<Arc<str>>> {
    let mut relabelled = Vec::new();
    for (region, after) in new.models.regions.iter().zip(&new.labels) {
        let mut all = running.models.regions.iter().zip(&running.labels);
        let Some((_, before)) = all.find(|(before, _)| before.name == region.name) else { continue };
        match difference(before, after) {
            None => {}
            Some(_) if allowed => relabelled.push(region.name.clone()),
            Some(what) => {
                let message = format!("region {}: other labels than those of the running model: {what}", region.name);
                return Err(Error::new(ErrorKind::Labels, message));
            }
        }
    }
    Ok(relabelled)
}

/// Why models were taken back.
fn why(error: Option<Error>) -> Error {
    error.unwrap_or_else(|| Error::new(ErrorKind::Model, "it was taken back"))
}

/// Where two lists of labels differ, in words.
fn difference(before: &[Arc<str>], after: &[Arc<str>]) -> Option<String> {
    if before.len() != after.len() {
        return Some(format!("{} instead of {}", after.len(), before.len()));
    }
    let (class, (before, after)) = before.iter().zip(after).enumerate().find(|(_, (before, after))| before != after)?;
    Some(format!("class {class} is '{}' instead of '{}'", text::name(after), text::name(before)))
}
