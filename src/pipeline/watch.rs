//! A region, frame by frame: classified, selected, its state followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::region::Region;
use super::selection::Selection;
use crate::error::Result;
use crate::events::Tracker;
use crate::frame::{Frame, RgbImage};
use crate::prediction::{Event, Prediction, RegionReport, StageTimes};
use crate::runtime::Classifier;
use crate::tuning::Tuning;

/// A region with what is remembered of earlier frames.
#[derive(Debug)]
pub(super) struct Watch {
    region: Region,
    selection: Selection,
    tracker: Option<Tracker>,
}

/// What was seen in one frame.
pub(super) struct Seen {
    pub(super) report: RegionReport,
    pub(super) events: Vec<Event>,
    pub(super) stages: StageTimes,
}

impl Watch {
    pub(super) fn new(region: &Region) -> Self {
        let Region { topk, threshold, smoothing, .. } = *region;
        let tracker = region.rules.clone().map(Tracker::new);
        Self { region: region.clone(), selection: Selection::new(topk, threshold, smoothing), tracker }
    }

    /// Other thresholds from now on.
    pub(super) fn tune(&mut self, tuning: &Tuning) {
        self.selection.set(tuning.topk, tuning.threshold, tuning.smoothing);
        if let (Some(tracker), Some(rules)) = (&mut self.tracker, &tuning.rules) {
            tracker.set_rules(rules);
        }
    }

    /// Looks at `picture`, made of `frame`, which was captured at `now` on the loop's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a region that is not inside the picture; the classifier's.
    pub(super) fn look(
        &mut self,
        picture: &RgbImage,
        frame: &Frame,
        now: Duration,
        classifiers: &mut [&mut dyn Classifier],
    ) -> Result<Seen> {
        let Region { name, place, classifier, .. } = &self.region;
        let area = place.of(picture.width, picture.height).map_err(|e| e.at(format!("region {name}")))?;
        let classifier = &mut *classifiers[*classifier];
        let wanted = if self.tracker.is_some() { usize::MAX } else { self.selection.wanted() };
        let result = classifier.classify_area(picture, area, wanted)?;
        let begin = Instant::now();
        let all = self.selection.smoothed(self.named(result.predictions));
        let events = self.events(&all, frame, now);
        let report = RegionReport {
            name: self.region.name.clone(),
            area,
            model: classifier.name(),
            model_hash: classifier.hash(),
            predictions: self.selection.of(all),
            state: self.tracker.as_ref().map(|tracker| tracker.state().clone()),
        };
        let mut stages = result.stages;
        stages.postprocess += begin.elapsed();
        Ok(Seen { report, events, stages })
    }

    /// Frames went by that were not looked at.
    pub(super) fn interrupt(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            tracker.interrupt();
        }
    }

    /// With the region's own labels, where it has some.
    fn named(&self, mut predictions: Vec<Prediction>) -> Vec<Prediction> {
        let labels = self.region.labels.as_deref().unwrap_or_default();
        for prediction in &mut predictions {
            if let Some(label) = labels.get(prediction.class) {
                prediction.label = label.clone();
            }
        }
        predictions
    }

    fn events(&mut self, predictions: &[Prediction], frame: &Frame, now: Duration) -> Vec<Event> {
        let Some(tracker) = &mut self.tracker else { return Vec::new() };
        let region: &Arc<str> = &self.region.name;
        let changes = tracker.update(predictions, now).into_iter();
        changes
            .map(|change| Event {
                time: frame.timestamp,
                region: region.clone(),
                label: change.label,
                active: change.active,
                score: change.score,
            })
            .collect()
    }
}
