//! Old and new models compared on the same frames: how often they agree, and how long they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::Sample;
use super::region::Region;
use super::scene::{Glance, Models, lock};
use super::trial::Trial;
use crate::control::Replaced;
use crate::cpu;
use crate::error::{Error, ErrorKind, Result};

/// Frames without which nothing is given up as too slow: one alone may have had to wait for something else.
const LEAST: u64 = 3;

/// What is known of the regions that get another model.
pub(super) struct Comparison {
    rows: Vec<Row>,
    /// Frames compared.
    pub(super) frames: u64,
    /// Frames that the loop has looked at with the new models.
    pub(super) tried: u64,
    /// How long the loop took for all regions of each of these.
    all: Vec<Duration>,
}

/// One region.
struct Row {
    region: Region,
    /// The new model's name and hash: in the loop one would have to wait for it.
    model: [Arc<str>; 2],
    relabelled: bool,
    /// Whether it was there before, in the same place: what is seen can be the same.
    stays: bool,
    same: u64,
    before: Vec<Duration>,
    /// Beside the loop, and in it.
    beside: Vec<Duration>,
    after: Vec<Duration>,
}

impl Comparison {
    /// For the regions of `new` that are new, elsewhere, or looked at by another classifier than in `running`.
    pub(super) fn new(running: &Models, new: &Models, relabelled: &[Arc<str>]) -> Self {
        let row = |region: &Region| {
            let before = running.region(&region.name);
            let stays = before.is_some_and(|before| before.place == region.place);
            if stays && before.is_some_and(|before| Arc::ptr_eq(running.of(before), new.of(region))) {
                return None;
            }
            let relabelled = relabelled.contains(&region.name);
            let (before, beside, after) = (Vec::new(), Vec::new(), Vec::new());
            let classifier = lock(new.of(region));
            let model = [classifier.name(), classifier.hash()];
            drop(classifier);
            Some(Row { region: region.clone(), model, relabelled, stays, same: 0, before, beside, after })
        };
        Self { rows: new.regions.iter().filter_map(row).collect(), frames: 0, tried: 0, all: Vec::new() }
    }

    /// Whether there is nothing to compare.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lets `new` look at a frame.
    ///
    /// # Errors
    /// The classifiers'; [`ErrorKind::Usage`] for a region that is not inside the picture.
    pub(super) fn add(&mut self, new: &Models, sample: &Sample) -> Result<()> {
        for row in &mut self.rows {
            let area = row.region.area(&sample.picture)?;
            let begin = (cpu::thread_time(), Instant::now());
            let mut seen = lock(new.of(&row.region)).classify_area(&sample.picture, area, 1)?.predictions;
            row.beside.push(match (begin.0, cpu::thread_time()) {
                (Some(begin), Some(end)) => end.saturating_sub(begin),
                _ => begin.1.elapsed(),
            });
            row.region.name(&mut seen);
            if let Some(before) = sample.seen.iter().find(|before| before.region == row.region.name) {
                row.before.push(before.took);
                row.same += u64::from(before.best.as_deref() == seen.first().map(|best| &*best.label));
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// What the loop says of a frame that it has looked at with the new models.
    pub(super) fn tried(&mut self, seen: &[Glance]) {
        for row in &mut self.rows {
            row.after.extend(seen.iter().find(|after| after.region == row.region.name).map(|after| after.took));
        }
        self.all.push(seen.iter().map(|glance| glance.took).sum());
        self.tried += 1;
    }

    /// Whether the new models may be put into the loop.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] with both numbers for models that agree too rarely, or are too slow.
    pub(super) fn check_beside(&self, trial: &Trial) -> Result<()> {
        for row in &self.rows {
            if let Some(agreement) = row.agreement().filter(|agreement| *agreement < trial.agreement) {
                let message = format!(
                    "it agrees with the running one on {:.0} % of {} frames: swap.agreement asks for {:.0} %",
                    100.0 * agreement,
                    row.before.len(),
                    100.0 * trial.agreement
                );
                return Err(row.failed(message));
            }
            row.check(median(&row.beside), trial)?;
        }
        let all = self.rows.iter().filter_map(|row| median(&row.beside)).sum();
        over_budget(all, trial)
    }

    /// Whether the new models may stay in the loop.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] with both numbers for models that are too slow.
    pub(super) fn check_tried(&self, trial: &Trial) -> Result<()> {
        self.rows.iter().try_for_each(|row| row.check(median(&row.after), trial))?;
        median(&self.all).map_or(Ok(()), |all| over_budget(all, trial))
    }

    /// Whether the new models are too slow so far, and have used up the time that they are allowed for all frames of a trial: no need to
    /// wait for the others.
    pub(super) fn is_hopeless(&self, trial: &Trial) -> bool {
        let frames = u32::try_from(trial.frames).unwrap_or(u32::MAX);
        let beyond = |row: &Row| {
            let most = median(&row.before).map(|before| trial.most(before).saturating_mul(frames));
            most.is_some_and(|most| row.after.iter().sum::<Duration>() > most)
        };
        self.tried >= LEAST && self.check_tried(trial).is_err() && self.rows.iter().any(beyond)
    }

    /// What has changed, for who asked.
    pub(super) fn replaced(&self) -> Vec<Replaced> {
        let ms = |times: &[Duration]| median(times).map(|time| (time.as_secs_f64() * 1e5).round() / 100.0);
        let replaced = |row: &Row| Replaced {
            region: row.region.name.to_string(),
            model: row.model[0].to_string(),
            hash: row.model[1].to_string(),
            relabelled: row.relabelled,
            agreement: row.agreement(),
            before_ms: ms(&row.before),
            after_ms: ms(if row.after.is_empty() { &row.beside } else { &row.after }),
        };
        self.rows.iter().map(replaced).collect()
    }
}

impl Row {
    /// Share of the frames with the same best label.
    fn agreement(&self) -> Option<f64> {
        (self.stays && !self.before.is_empty()).then(|| self.same as f64 / self.before.len() as f64)
    }

    fn check(&self, after: Option<Duration>, trial: &Trial) -> Result<()> {
        let (Some(before), Some(after)) = (median(&self.before), after) else { return Ok(()) };
        if after <= trial.most(before) {
            return Ok(());
        }
        Err(self.failed(format!(
            "it takes {} for a frame where the running one takes {}: swap.slower allows {} times that",
            ms(after),
            ms(before),
            trial.slower
        )))
    }

    fn failed(&self, message: String) -> Error {
        Error::new(ErrorKind::Model, format!("region {}: {message}", self.region.name))
    }
}

fn over_budget(all: Duration, trial: &Trial) -> Result<()> {
    match trial.budget.filter(|budget| all > *budget) {
        Some(budget) => {
            let message = format!("the models take {} for a frame: swap.budget allows {}", ms(all), ms(budget));
            Err(Error::new(ErrorKind::Model, message))
        }
        None => Ok(()),
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied()
}
