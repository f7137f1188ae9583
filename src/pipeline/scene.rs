//! What the loop looks at, and with what. It is exchanged between two frames.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::region::Region;
use super::watch::{Seen, Watch, event};
use crate::control::RunningModel;
use crate::error::Result;
use crate::events::Change;
use crate::frame::{Frame, RgbImage};
use crate::prediction::{Event, RegionReport, StageTimes};
use crate::runtime::Classifier;
use crate::tuning::Tuning;

/// A classifier that the loop uses, and before that whoever looks whether it may.
pub type SharedClassifier = Arc<Mutex<dyn Classifier + Send>>;

/// `classifier`, for the loop.
pub fn shared(classifier: impl Classifier + Send + 'static) -> SharedClassifier {
    Arc::new(Mutex::new(classifier))
}

/// Locks a classifier. Another thread holds it only for as long as it takes to ask for its name.
pub(super) fn lock(classifier: &SharedClassifier) -> MutexGuard<'_, dyn Classifier + Send + 'static> {
    // One that has panicked is a classifier still: what it computes does not depend on the pictures before.
    classifier.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Classifiers, and the regions that they look at.
#[derive(Clone, Default)]
pub struct Models {
    /// The classifiers, in the order in which [`Region::classifier`] counts them.
    pub classifiers: Vec<SharedClassifier>,
    /// The regions, which are looked at one after the other.
    pub regions: Vec<Region>,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("classifiers", &self.classifiers.len()).field("regions", &self.regions).finish()
    }
}

impl Models {
    /// Whether each region has a classifier.
    pub(super) fn is_whole(&self) -> bool {
        self.regions.iter().all(|region| region.classifier < self.classifiers.len())
    }

    /// The classifier of a region.
    pub(super) fn of(&self, region: &Region) -> &SharedClassifier {
        &self.classifiers[region.classifier]
    }

    /// The labels of a region, by class.
    pub(super) fn labels(&self, region: &Region) -> Vec<Arc<str>> {
        region.labels.clone().unwrap_or_else(|| lock(self.of(region)).class_labels())
    }

    /// The region of this name.
    pub(super) fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| *region.name == *name)
    }

    /// What looks at each region, for others to know. The loop must not be looking.
    pub(super) fn running(&self) -> Vec<RunningModel> {
        let running = |region: &Region| {
            let labels = self.labels(region);
            let classifier = lock(self.of(region));
            let (model, hash, input) = (classifier.name(), classifier.hash(), classifier.input_size());
            RunningModel { region: region.name.clone(), model, hash, labels, input }
        };
        self.regions.iter().map(running).collect()
    }

    /// What can be changed of each region.
    pub(super) fn tunings(&self) -> Vec<Tuning> {
        self.regions.iter().map(Region::tuning).collect()
    }

    /// Runs an empty picture through each classifier.
    ///
    /// # Errors
    /// The classifiers'.
    pub(super) fn warm_up(&self) -> Result<()> {
        let picture = RgbImage::filled(64, 64, [128; 3]);
        self.classifiers.iter().try_for_each(|classifier| lock(classifier).classify(&picture, 1).map(drop))
    }
}

/// Models at work: with what is remembered of earlier frames.
pub(super) struct Scene {
    models: Models,
    /// Of the regions, in their order.
    watches: Vec<Watch>,
    /// What ended when models were exchanged, region by region, and has not been told.
    ended: Vec<(Arc<str>, Change)>,
}

/// What was seen of a frame.
pub(super) struct Looked {
    pub(super) regions: Vec<RegionReport>,
    pub(super) events: Vec<Event>,
    pub(super) stages: StageTimes,
    pub(super) seen: Vec<Glance>,
}

/// What a classifier alone says of a region of one frame.
#[derive(Debug, Clone)]
pub(super) struct Glance {
    pub(super) region: Arc<str>,
    pub(super) best: Option<Arc<str>>,
    pub(super) took: Duration,
}

impl Scene {
    pub(super) fn new(models: Models) -> Self {
        let watches = models.regions.iter().map(Watch::new).collect();
        Self { models, watches, ended: Vec::new() }
    }

    /// # Errors
    /// The classifiers'.
    pub(super) fn warm_up(&self) -> Result<()> {
        self.models.warm_up()
    }

    /// Frames went by that were not looked at.
    pub(super) fn interrupt(&mut self) {
        self.watches.iter_mut().for_each(Watch::interrupt);
    }

    /// Looks at `picture`, made of `frame`, which was captured at `now` on the loop's clock; with heat maps where it is `shown`.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub(super) fn look(&mut self, picture: &RgbImage, frame: &Frame, now: Duration, shown: bool) -> Result<Looked> {
        let mut looked =
            Looked { regions: Vec::new(), events: Vec::new(), stages: StageTimes::default(), seen: vec![] };
        for watch in &mut self.watches {
            let classifier = &self.models.classifiers[watch.region().classifier];
            let seen = watch.look(picture, frame, now, &mut *lock(classifier), shown)?;
            let Seen { report, events, stages, best, took } = seen;
            looked.seen.push(Glance { region: report.name.clone(), best, took });
            looked.regions.push(report);
            looked.events.extend(events);
            looked.stages += stages;
        }
        let ended = self.ended.drain(..).map(|(region, change)| event(&region, change, frame));
        looked.events.splice(..0, ended);
        Ok(looked)
    }

    /// What it looks with.
    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    /// Other thresholds from now on: those of the regions, in their order.
    pub(super) fn tune(&mut self, tunings: &[Tuning]) {
        for (watch, tuning) in self.watches.iter_mut().zip(tunings) {
            watch.tune(tuning);
        }
    }

    /// Puts `models` in the place of those at work, which it returns. States of regions go on where the region is still there, its labels
    /// are not `relabelled` and its rules are of the same kind; others end, which is told as events of the next frame, and begin anew.
    pub(super) fn exchange(&mut self, models: Models, relabelled: &[Arc<str>]) -> Models {
        let mut before = std::mem::take(&mut self.watches);
        for region in &models.regions {
            let goes_on = |watch: &Watch| {
                watch.region().name == region.name && !relabelled.contains(&region.name) && watch.goes_on_as(region)
            };
            self.watches.push(match before.iter().position(goes_on) {
                Some(found) => Watch::after(region, before.remove(found)),
                None => Watch::new(region),
            });
        }
        for watch in before {
            let name = &watch.region().name;
            self.ended.extend(watch.endings().into_iter().map(|change| (name.clone(), change)));
        }
        std::mem::replace(&mut self.models, models)
    }
}
