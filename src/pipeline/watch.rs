//! A region, frame by frame: classified, selected, its state followed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::region::Region;
use super::selection::Selection;
use crate::error::Result;
use crate::events::{Change, Tracker};
use crate::frame::{Frame, RgbImage};
use crate::prediction::{Event, Prediction, RegionReport, StageTimes, Unknown};
use crate::runtime::{Classification, Classifier};
use crate::tuning::{Rules, Tuning};

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
    /// The best label of this frame alone.
    pub(super) best: Option<Arc<str>>,
    /// How long the classifier took.
    pub(super) took: Duration,
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
        if let Some(rules) = &tuning.rules {
            let tuned = |tracker: Tracker| {
                let each = tracker.rules().each;
                tracker.with_rules(Rules { each, ..rules.clone() })
            };
            self.tracker = self.tracker.take().map(tuned);
        }
    }

    /// A region in the place of `before`, with the same labels: what holds there goes on.
    pub(super) fn after(region: &Region, before: Self) -> Self {
        let Region { topk, threshold, smoothing, .. } = *region;
        let tracker = match (region.rules.clone(), before.tracker) {
            (Some(rules), Some(tracker)) => Some(tracker.with_rules(rules)),
            (rules, _) => rules.map(Tracker::new),
        };
        let selection = before.selection.after(topk, threshold, smoothing);
        Self { region: region.clone(), selection, tracker }
    }

    /// Whether a region with these rules can go on where this one is now.
    pub(super) fn goes_on_as(&self, region: &Region) -> bool {
        let now = self.tracker.as_ref().map(|tracker| tracker.rules().each);
        now == region.rules.as_ref().map(|rules| rules.each)
    }

    /// The region.
    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// What changes when nothing holds any more.
    pub(super) fn endings(&self) -> Vec<Change> {
        self.tracker.as_ref().map_or_else(Vec::new, Tracker::endings)
    }

    /// Looks at `picture`, made of `frame`, which was captured at `now` on the loop's clock; with a heat map where the classifier has one and
    /// it is `shown`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for a region that is not inside the picture; the classifier's.
    pub(super) fn look(
        &mut self,
        picture: &RgbImage,
        frame: &Frame,
        now: Duration,
        classifier: &mut dyn Classifier,
        shown: bool,
    ) -> Result<Seen> {
        let area = self.region.area(picture)?;
        let wanted = if self.tracker.is_some() { usize::MAX } else { self.selection.wanted() };
        let begin = Instant::now();
        let Classification { mut predictions, unknown, stages } = classifier.classify_area(picture, area, wanted)?;
        let classified = Instant::now();
        self.region.name(&mut predictions);
        let best = predictions.first().map(|best| best.label.clone());
        let all = self.selection.smoothed(predictions);
        let unknown = unknown.map(|unknown| self.selection.smoothed_unknown(unknown));
        let events = self.events(&all, unknown, frame, now);
        let predictions = self.selection.of(all);
        let explained = predictions.first().filter(|_| shown);
        let heat = explained.map(|best| classifier.heat_map(area, best.class)).transpose()?.flatten();
        let report = RegionReport {
            name: self.region.name.clone(),
            area,
            model: classifier.name(),
            model_hash: classifier.hash(),
            predictions,
            unknown,
            state: self.tracker.as_ref().map(|tracker| tracker.state().clone()),
            heat,
        };
        let took = classified - begin;
        let stages = StageTimes { postprocess: stages.postprocess + classified.elapsed(), ..stages };
        Ok(Seen { report, events, stages, best, took })
    }

    /// Frames went by that were not looked at.
    pub(super) fn interrupt(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            tracker.interrupt();
        }
    }

    fn events(
        &mut self,
        predictions: &[Prediction],
        unknown: Option<Unknown>,
        frame: &Frame,
        now: Duration,
    ) -> Vec<Event> {
        let Some(tracker) = &mut self.tracker else { return Vec::new() };
        // What is not known is none of the classes.
        let none = |p: &Prediction| Prediction { score: 0.0, ..p.clone() };
        let changes = match unknown {
            Some(unknown) if unknown.is_unknown() => {
                tracker.update(&predictions.iter().map(none).collect::<Vec<_>>(), now)
            }
            _ => tracker.update(predictions, now),
        };
        let changes = changes.into_iter();
        changes.map(|change| event(&self.region.name, change, frame)).collect()
    }
}

/// A change of a region's state with this frame.
pub(super) fn event(region: &Arc<str>, change: Change, frame: &Frame) -> Event {
    Event {
        time: frame.timestamp,
        region: region.clone(),
        label: change.label,
        active: change.active,
        score: change.score,
    }
}
