//! The state of one region, frame by frame.

use std::sync::Arc;
use std::time::Duration;

use super::Rules;
use super::hold::Held;
use crate::prediction::{Prediction, State};

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The label that begins or ends to hold; `None` where from now on no label does.
    pub label: Option<Arc<str>>,
    /// Whether it holds from now on.
    pub active: bool,
    /// The label's score; of `None` the best one's.
    pub score: f32,
}

/// Follows the state of one region.
#[derive(Debug)]
pub struct Tracker {
    rules: Rules,
    /// One label or none.
    one: Held<Option<usize>>,
    /// By class, where each is true or false by itself.
    each: Vec<Held<bool>>,
    state: State,
}

impl Tracker {
    /// Nothing holds yet.
    pub fn new(rules: Rules) -> Self {
        let state = State { labels: Vec::new(), since: Duration::ZERO };
        Self { rules, one: Held::new(None), each: Vec::new(), state }
    }

    /// The same by other rules: what holds goes on. Where these say otherwise whether labels exclude one another, it begins anew.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        if self.rules.each == rules.each { Self { rules, ..self } } else { Self::new(rules) }
    }

    /// The rules that it follows.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What changes when nothing holds any more, since the labels that did are given up.
    pub fn endings(&self) -> Vec<Change> {
        let each = |label: &Arc<str>| Change { label: Some(label.clone()), active: false, score: 0.0 };
        match &self.state.labels[..] {
            [] => Vec::new(),
            labels if self.rules.each => labels.iter().map(each).collect(),
            _ => vec![Change { label: None, active: true, score: 0.0 }],
        }
    }

    /// What holds.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The scores of all classes at `now`, best first, and what changes with them. Scores that are no numbers are those of no label.
    pub fn update(&mut self, predictions: &[Prediction], now: Duration) -> Vec<Change> {
        let changes =
            if self.rules.each { self.update_each(predictions, now) } else { self.update_one(predictions, now) };
        if !changes.is_empty() {
            self.state.since = now;
        }
        changes
    }

    /// Frames went by that nobody looked at: what was about to change has to be seen anew without a break.
    pub fn interrupt(&mut self) {
        self.one.forget();
        self.each.iter_mut().for_each(Held::forget);
    }

    fn update_one(&mut self, predictions: &[Prediction], now: Duration) -> Vec<Change> {
        let seen = self.seen(predictions);
        if !self.one.see(seen, now, self.rules.hold, self.rules.cooldown) {
            return Vec::new();
        }
        let found = predictions.iter().find(|p| Some(p.class) == seen);
        self.state.labels = found.map(|p| p.label.clone()).into_iter().collect();
        let score = found.or(predictions.first()).map_or(0.0, |p| p.score);
        vec![Change { label: found.map(|p| p.label.clone()), active: true, score }]
    }

    /// The label that a frame alone speaks for, given what holds: the best one where it is good enough to enter, or to go on.
    fn seen(&self, predictions: &[Prediction]) -> Option<usize> {
        let best = predictions.first()?;
        let goes_on = self.one.pending() == Some(Some(best.class));
        if best.score >= self.rules.enter || (goes_on && best.score >= self.rules.leave) {
            return Some(best.class);
        }
        let holds = |p: &&Prediction| Some(p.class) == self.one.value() && p.score >= self.rules.leave;
        predictions.iter().find(holds).map(|p| p.class)
    }

    fn update_each(&mut self, predictions: &[Prediction], now: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        let classes = predictions.iter().map(|p| p.class + 1).max().unwrap_or(0);
        if self.each.len() < classes {
            self.each.resize(classes, Held::new(false));
        }
        for p in predictions {
            let held = &mut self.each[p.class];
            let least = if held.value() || held.pending() == Some(true) { self.rules.leave } else { self.rules.enter };
            if !held.see(p.score >= least, now, self.rules.hold, self.rules.cooldown) {
                continue;
            }
            let active = held.value();
            if active {
                self.state.labels.push(p.label.clone());
            } else {
                self.state.labels.retain(|label| *label != p.label);
            }
            changes.push(Change { label: Some(p.label.clone()), active, score: p.score });
        }
        changes
    }
}
