//! How much accuracy int8 costs, and which layers stay float so that it costs no more than allowed.

use super::report::Accuracy;
use super::trial::logits;
use super::whole::Whole;
use super::{Candidate, Checked, Phase, Progress};
use crate::error::{Error, ErrorKind, Result};
use crate::model::onnx::LayerEncodings;
use crate::prediction::top_k;

/// Compares what two networks say of pictures, whose classes may be known.
pub(super) fn accuracy(float: &[usize], int8: &[usize], classes: &[Option<usize>], budget: Option<f64>) -> Accuracy {
    let pictures = float.len();
    let share = |count: usize| count as f64 / pictures.max(1) as f64;
    let agreement = share(float.iter().zip(int8).filter(|(a, b)| a == b).count());
    let labelled = pictures > 0 && classes.iter().all(Option::is_some);
    let right =
        |found: &[usize]| share(found.iter().zip(classes).filter(|(found, class)| Some(**found) == **class).count());
    let (float_top1, int8_top1) = (labelled.then(|| right(float)), labelled.then(|| right(int8)));
    let drop = match (float_top1, int8_top1) {
        (Some(float), Some(int8)) => float - int8,
        _ => 1.0 - agreement,
    };
    Accuracy { pictures, labelled, float_top1, int8_top1, drop_points: 100.0 * drop, agreement, budget_points: budget }
}

/// The most probable class of each picture.
pub(super) fn best(logits: &[Vec<f32>]) -> Vec<usize> {
    logits.iter().map(|logits| top_k(logits, 1).first().copied().unwrap_or(0)).collect()
}

/// What is tried to hold the budget.
pub(super) struct Search<'a> {
    pub(super) whole: &'a Whole,
    pub(super) best: &'a Candidate,
    /// Layers in the order in which they become float: the most harmful first.
    pub(super) order: &'a [usize],
    pub(super) checked: &'a Checked,
    pub(super) float: &'a [usize],
    pub(super) budget: f64,
    pub(super) threads: usize,
}

/// A network that was tried: how many layers are float, its encodings and its accuracy.
pub(super) struct Found {
    pub(super) kept: usize,
    pub(super) encodings: Vec<LayerEncodings>,
    pub(super) accuracy: Accuracy,
}

impl Search<'_> {
    fn with_float(&self, kept: usize) -> Result<Found> {
        let mut encodings = self.best.encodings.clone();
        for &layer in &self.order[..kept] {
            encodings[layer].input = None;
        }
        let written = self.best.written(self.whole, &encodings)?;
        let int8 = best(&logits(&written.whole.file, &self.checked.pictures, self.threads)?);
        let accuracy = accuracy(self.float, &int8, &self.checked.classes, Some(self.budget));
        Ok(Found { kept, encodings, accuracy })
    }

    /// The fewest float layers, in this order, that hold the budget: doubled until it holds, then halved in between.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it does not hold however many layers are float.
    pub(super) fn fewest(&self, progress: &mut Progress<'_>) -> Result<Found> {
        let holds = |found: &Found| !found.accuracy.is_over_budget();
        let mut tried = 0;
        let mut try_with = |kept: usize| {
            tried += 1;
            progress(Phase::Budget, tried, 0);
            self.with_float(kept)
        };
        let mut found = try_with(0)?;
        let mut too_few = 0;
        while !holds(&found) {
            if found.kept == self.order.len() {
                let message = format!(
                    "the budget of {} points is not held even with every convolution in float ({} points are lost): \
                     allow more, or calibrate with more pictures",
                    self.budget, found.accuracy.drop_points
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
            too_few = found.kept;
            found = try_with((2 * found.kept).clamp(1, self.order.len()))?;
        }
        while found.kept > too_few + 1 {
            let between = try_with((too_few + found.kept) / 2)?;
            if holds(&between) {
                found = between;
            } else {
                too_few = between.kept;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_count_true_classes_where_they_are_known() {
        let known = accuracy(&[1, 2, 3, 4], &[1, 2, 0, 0], &[Some(1), Some(0), Some(3), Some(0)], Some(0.5));
        assert_eq!((known.float_top1, known.int8_top1, known.drop_points), (Some(0.5), Some(0.5), 0.0));
        assert_eq!((known.agreement, known.labelled), (0.5, true));
        let unknown = accuracy(&[1, 2, 3, 4], &[1, 2, 0, 0], &[None; 4], None);
        assert_eq!((unknown.float_top1, unknown.drop_points, unknown.labelled), (None, 50.0, false));
    }
}
