//! Which classes of a frame are shown.

use crate::prediction::{Prediction, Unknown, top_k};

/// Smooths scores over time and picks the best.
#[derive(Debug)]
pub(super) struct Selection {
    topk: usize,
    threshold: f32,
    /// Share of the past in a score, 0 <= smoothing < 1.
    smoothing: f32,
    /// Smoothed scores by class.
    past: Vec<f32>,
    /// The smoothed score of what is unknown.
    past_unknown: Option<f32>,
}

impl Selection {
    pub(super) fn new(topk: usize, threshold: f32, smoothing: f32) -> Self {
        Self { topk, threshold, smoothing, past: Vec::new(), past_unknown: None }
    }

    /// Other numbers from now on. Scores go on from where they are.
    pub(super) fn set(&mut self, topk: usize, threshold: f32, smoothing: f32) {
        if smoothing == 0.0 {
            self.past.clear();
            self.past_unknown = None;
        }
        (self.topk, self.threshold, self.smoothing) = (topk, threshold, smoothing);
    }

    /// The same with these numbers.
    pub(super) fn after(mut self, topk: usize, threshold: f32, smoothing: f32) -> Self {
        self.set(topk, threshold, smoothing);
        self
    }

    /// How many classes it has to be given.
    pub(super) fn wanted(&self) -> usize {
        if self.smoothing > 0.0 { usize::MAX } else { self.topk }
    }

    /// `predictions` with the past's share in their scores, best first.
    pub(super) fn smoothed(&mut self, mut predictions: Vec<Prediction>) -> Vec<Prediction> {
        if self.smoothing > 0.0 {
            self.smooth(&mut predictions);
        }
        predictions
    }

    /// `unknown` with the past's share in its score.
    pub(super) fn smoothed_unknown(&mut self, unknown: Unknown) -> Unknown {
        if self.smoothing == 0.0 {
            return unknown;
        }
        let past = self.past_unknown.unwrap_or(unknown.score);
        let score = self.smoothing * past + (1.0 - self.smoothing) * unknown.score;
        self.past_unknown = Some(score);
        Unknown { score, ..unknown }
    }

    /// Those of smoothed predictions that are shown.
    pub(super) fn of(&self, mut predictions: Vec<Prediction>) -> Vec<Prediction> {
        predictions.retain(|p| p.score >= self.threshold);
        predictions.truncate(self.topk);
        predictions
    }

    /// Exponential moving average; the first frame is taken as it is.
    fn smooth(&mut self, predictions: &mut Vec<Prediction>) {
        predictions.sort_by_key(|p| p.class);
        if self.past.len() == predictions.len() {
            for (past, prediction) in self.past.iter().zip(predictions.iter_mut()) {
                prediction.score = self.smoothing * past + (1.0 - self.smoothing) * prediction.score;
            }
        }
        self.past = predictions.iter().map(|p| p.score).collect();
        let order = top_k(&self.past, predictions.len());
        *predictions = order.into_iter().map(|class| predictions[class].clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(scores: [f32; 3]) -> Vec<Prediction> {
        let best = top_k(&scores, 3);
        best.into_iter().map(|class| Prediction { class, label: "x".into(), score: scores[class] }).collect()
    }

    fn shown(selection: &mut Selection, scores: [f32; 3]) -> Vec<(usize, f32)> {
        {
            let smoothed = selection.smoothed(predictions(scores));
            selection.of(smoothed).into_iter()
        }
        .map(|p| (p.class, p.score))
        .collect()
    }

    #[test]
    fn threshold_and_number_cut_the_list() {
        let mut selection = Selection::new(2, 0.25, 0.0);
        assert_eq!(shown(&mut selection, [0.3, 0.4, 0.3]), [(1, 0.4), (0, 0.3)]);
        assert_eq!(shown(&mut selection, [0.1, 0.8, 0.1]), [(1, 0.8)]);
        assert_eq!(selection.wanted(), 2);
    }

    #[test]
    fn what_is_unknown_is_smoothed_too() {
        let unknown = |score| Unknown { score, threshold: 0.5 };
        let mut selection = Selection::new(3, 0.0, 0.75);
        assert_eq!(selection.smoothed_unknown(unknown(0.0)).score, 0.0);
        assert_eq!(selection.smoothed_unknown(unknown(1.0)).score, 0.25);
        selection.set(3, 0.0, 0.0);
        assert_eq!(selection.smoothed_unknown(unknown(1.0)), unknown(1.0));
        selection.set(3, 0.0, 0.5);
        assert_eq!(selection.smoothed_unknown(unknown(0.0)).score, 0.0);
    }

    #[test]
    fn smoothing_is_a_moving_average_by_class() {
        let mut selection = Selection::new(3, 0.0, 0.75);
        assert!(selection.wanted() >= 1000);
        assert_eq!(shown(&mut selection, [0.0, 1.0, 0.0])[0], (1, 1.0));
        // One frame that differs does not change the order, several do.
        assert_eq!(shown(&mut selection, [1.0, 0.0, 0.0])[..2], [(1, 0.75), (0, 0.25)]);
        assert_eq!(shown(&mut selection, [1.0, 0.0, 0.0])[..2], [(1, 0.5625), (0, 0.4375)]);
        assert_eq!(shown(&mut selection, [1.0, 0.0, 0.0])[0].0, 0);
        // Changed meanwhile, it has a past; switched off and on, it has none.
        selection.set(1, 0.0, 0.5);
        assert!(shown(&mut selection, [0.0, 1.0, 0.0])[0].1 < 1.0);
        selection.set(1, 0.0, 0.0);
        selection.set(1, 0.0, 0.5);
        assert_eq!(shown(&mut selection, [0.0, 0.0, 1.0]), [(2, 1.0)]);
    }
}
