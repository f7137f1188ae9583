//! What is counted of two models picture by picture.

use std::sync::Arc;

use super::report::{ClassComparison, Comparison, Difference, MOST_DIFFERENCES, NamedClass, Outcome, ScoredClass};
use crate::eval::tally::Verdict;
use crate::eval::{ClassReport, PictureName, Report};
use crate::prediction::Prediction;

/// Where two models differ so far.
pub(super) struct Differences<'a> {
    labels: &'a [Arc<str>],
    /// Of each class: pictures that only the reference gets right, and those that only the model does.
    lost: Vec<u64>,
    won: Vec<u64>,
    /// The reference's pictures with the right class among the most probable ones, less the model's.
    among_top: i64,
    pub(super) differing: u64,
    pub(super) listed: Vec<Difference>,
}

impl<'a> Differences<'a> {
    /// None yet, of models with these classes.
    pub(super) fn new(labels: &'a [Arc<str>]) -> Self {
        let none = vec![0; labels.len()];
        Self { labels, lost: none.clone(), won: none, among_top: 0, differing: 0, listed: Vec::new() }
    }

    /// Counts a picture of output `truth`. `name` is only asked for if it is listed.
    pub(super) fn add(
        &mut self,
        name: impl FnOnce() -> PictureName,
        truth: usize,
        model: &Verdict,
        reference: &Verdict,
    ) {
        self.among_top += i64::from(reference.among_top) - i64::from(model.among_top);
        if model.best.class == reference.best.class {
            return;
        }
        self.differing += 1;
        let outcome = if reference.best.class == truth {
            self.lost[truth] += 1;
            Outcome::Lost
        } else if model.best.class == truth {
            self.won[truth] += 1;
            Outcome::Won
        } else {
            Outcome::Wrong
        };
        if self.listed.len() < MOST_DIFFERENCES {
            self.listed.push(Difference {
                picture: name(),
                truth: NamedClass { class: truth, label: self.labels[truth].to_string() },
                model: self.scored(&model.best),
                reference: self.scored(&reference.best),
                outcome,
            });
        }
    }

    /// By the common labels: a model that carries none calls its classes otherwise.
    fn scored(&self, best: &Prediction) -> ScoredClass {
        ScoredClass { class: best.class, label: self.labels[best.class].to_string(), score: best.score }
    }

    /// The result, with the two models' own.
    pub(super) fn report(self, model: Report, reference: Report) -> Comparison {
        let pictures = model.pictures;
        let (lost, won) = (self.lost.iter().sum(), self.won.iter().sum());
        let class = |i: usize| {
            let [ours, theirs]: [&ClassReport; 2] = [&model.classes[i], &reference.classes[i]];
            ClassComparison {
                label: ours.label.clone(),
                pictures: ours.pictures,
                model_recall: ours.recall,
                reference_recall: theirs.recall,
                recall_drop: (ours.pictures > 0).then(|| points(balance(self.lost[i], self.won[i]), ours.pictures)),
                lost: self.lost[i],
                won: self.won[i],
            }
        };
        Comparison {
            data: model.data.clone(),
            pictures,
            top1_drop: points(balance(lost, won), pictures),
            top5_drop: model.top5.is_some().then(|| points(self.among_top, pictures)),
            agreement: (pictures - self.differing) as f64 / pictures as f64,
            lost,
            won,
            differing: self.differing,
            classes: (0..model.classes.len()).map(class).collect(),
            differences: self.listed,
            model,
            reference,
        }
    }
}

/// From counts, and not from two rounded shares: no difference is 0, and not nearly so.
fn points(part: i64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn balance(lost: u64, won: u64) -> i64 {
    lost as i64 - won as i64
}
