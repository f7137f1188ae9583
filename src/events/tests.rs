//! States on scores as networks give them: noisy, with single frames that are wrong.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::prediction::{Prediction, top_k};

const FRAME: Duration = Duration::from_millis(100);

fn rules(hold_ms: u64) -> Rules {
    Rules { hold: Duration::from_millis(hold_ms), ..Rules::default() }
}

fn predictions(scores: &[f32]) -> Vec<Prediction> {
    let label = |class| Arc::from(["open", "closed", "half"][class]);
    top_k(scores, scores.len())
        .into_iter()
        .map(|class| Prediction { class, label: label(class), score: scores[class] })
        .collect()
}

/// `(frame, label, active)` of each change.
fn changes(rules: Rules, frames: &[Vec<f32>]) -> Vec<(usize, String, bool)> {
    let mut tracker = Tracker::new(rules);
    let mut all = Vec::new();
    for (index, scores) in frames.iter().enumerate() {
        for change in tracker.update(&predictions(scores), FRAME * index as u32) {
            all.push((index, change.label.as_deref().unwrap_or("-").to_owned(), change.active));
        }
    }
    all
}

fn frames(parts: &[(usize, [f32; 2])]) -> Vec<Vec<f32>> {
    parts.iter().flat_map(|&(count, scores)| vec![scores.to_vec(); count]).collect()
}

#[test]
fn what_holds_goes_on_by_other_rules_and_ends_when_it_is_given_up() {
    let mut one = Tracker::new(rules(0));
    assert!(one.endings().is_empty());
    one.update(&predictions(&[0.9, 0.1]), FRAME);
    let strict = Rules { enter: 0.99, leave: 0.95, ..rules(0) };
    let mut one = one.with_rules(strict);
    assert_eq!((one.state().text().as_str(), one.rules().enter), ("open", 0.99));
    assert_eq!(one.endings(), [Change { label: None, active: true, score: 0.0 }]);
    assert_eq!(one.update(&predictions(&[0.9, 0.1]), 2 * FRAME)[0].label, None, "which leave it now");
    let mut each = Tracker::new(Rules { each: true, ..rules(0) });
    each.update(&predictions(&[0.9, 0.8]), FRAME);
    let ends: Vec<_> =
        each.endings().into_iter().map(|change| (change.label.unwrap().to_string(), change.active)).collect();
    assert_eq!(ends, [("open".to_owned(), false), ("closed".to_owned(), false)]);
    assert!(each.with_rules(rules(0)).state().labels.is_empty(), "rules of another kind begin anew");
}

#[test]
fn a_label_holds_after_its_time_and_is_left_after_as_long() {
    let seen = frames(&[(20, [0.9, 0.1]), (5, [0.2, 0.8]), (10, [0.9, 0.1]), (20, [0.2, 0.8]), (20, [0.4, 0.45])]);
    let expected = [(10, "open".into(), true), (45, "closed".into(), true), (65, "-".into(), true)];
    assert_eq!(changes(rules(1000), &seen), expected);
}

#[test]
fn between_the_thresholds_nothing_changes() {
    let seen = frames(&[(5, [0.6, 0.4]), (1, [0.75, 0.25]), (5, [0.55, 0.45]), (5, [0.45, 0.55])]);
    assert_eq!(changes(rules(0), &seen), [(5, "open".into(), true), (11, "-".into(), true)]);
}

#[test]
fn each_label_is_true_or_false_by_itself() {
    let seen = frames(&[(1, [0.0, 0.0]), (3, [0.9, 0.0]), (3, [0.9, 0.8]), (3, [0.1, 0.6])]);
    let each = Rules { each: true, ..rules(0) };
    assert_eq!(
        changes(each.clone(), &seen),
        [(1, "open".into(), true), (4, "closed".into(), true), (7, "open".into(), false)]
    );
    let mut tracker = Tracker::new(each);
    for scores in &seen[..5] {
        tracker.update(&predictions(scores), Duration::ZERO);
    }
    assert_eq!(tracker.state().text(), "open, closed");
    tracker.update(&predictions(&[0.0, 0.0]), FRAME);
    assert_eq!((tracker.state().text().as_str(), tracker.state().since), ("uncertain", FRAME));
}

#[test]
fn scores_that_are_no_numbers_are_those_of_no_label() {
    for each in [false, true] {
        assert!(changes(Rules { each, ..rules(0) }, &frames(&[(5, [f32::NAN, f32::NAN])])).is_empty());
        assert!(changes(Rules { each, ..rules(0) }, &[vec![], vec![]]).is_empty());
    }
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    assert!(Rules::default().check().is_ok());
    let wrong = |enter, leave| Rules { enter, leave, ..Rules::default() }.check().unwrap_err().to_string();
    assert_eq!(wrong(0.5, 0.6), "leave is 0.6: it must not be above enter, which is 0.5");
    assert!(wrong(1.5, 0.5).starts_with("enter is 1.5") && wrong(0.5, f32::NAN).starts_with("leave is NaN"));
}

/// A truth that changes now and then, as noisy scores: each frame's is off by up to `noise`, and `wrong` of a hundred frames say the
/// opposite, never `RUN` of them in a row.
fn noisy(truth: &[(bool, usize)], noise: &[f32], wrong: &[u8], each: bool) -> Vec<Vec<f32>> {
    let mut run = 0;
    let truth = truth.iter().flat_map(|&(open, count)| vec![open; count]);
    truth
        .enumerate()
        .map(|(index, open)| {
            let off = noise[index % noise.len()];
            run = if wrong[index % wrong.len()] < 5 && run + 1 < RUN { run + 1 } else { 0 };
            let open = open != (run > 0);
            let score = if open { 0.85 + off } else { 0.15 + off };
            vec![score, if each { 0.0 } else { 1.0 - score }]
        })
        .collect()
}

/// Frames in a row that are wrong at most, plus one.
const RUN: usize = 4;

proptest! {
    /// Wrong frames in a row are shorter than what a label has to hold for: states change once where the truth does, and not before it
    /// held for that time. Wrong frames within it may begin the time anew, each time by as much as was seen.
    #[test]
    fn states_change_once_where_the_truth_does(
        counts in prop::collection::vec(60_usize..120, 1..6),
        noise in prop::collection::vec(-0.15_f32..0.15, 97),
        wrong in prop::collection::vec(0_u8..100, 101),
        each in any::<bool>(),
    ) {
        let truth: Vec<(bool, usize)> = counts.iter().enumerate().map(|(i, &count)| (i % 2 == 0, count)).collect();
        let hold = RUN as u64 * 100;
        let found = changes(Rules { each, ..rules(hold) }, &noisy(&truth, &noise, &wrong, each));
        prop_assert_eq!(found.len(), truth.len(), "{:?}", found);
        let mut begin = 0;
        for ((open, count), (frame, label, active)) in truth.into_iter().zip(found) {
            let is_open = if each { active } else { label == "open" };
            prop_assert_eq!(is_open, open);
            // A frame that is wrong just before the truth changes is right too early.
            prop_assert!(frame + RUN > begin + RUN - 1 && frame < begin + count, "{} after {}", frame, begin);
            begin += count;
        }
    }

    /// Without noise the delay is what the settings say, to a frame.
    #[test]
    fn the_delay_is_what_the_settings_say(hold_ms in 0_u64..3000, counts in prop::collection::vec(40_usize..80, 1..5)) {
        let truth: Vec<(bool, usize)> = counts.iter().enumerate().map(|(i, &count)| (i % 2 == 0, count)).collect();
        let found = changes(rules(hold_ms), &noisy(&truth, &[0.0], &[99], false));
        let mut begin = 0;
        let mut expected = Vec::new();
        for (open, count) in truth {
            expected.push((begin + hold_ms.div_ceil(100) as usize, if open { "open" } else { "closed" }.to_owned(), true));
            begin += count;
        }
        prop_assert_eq!(found, expected);
    }

    /// Whatever the scores are, changes are as far apart as the cool-down says.
    #[test]
    fn changes_are_as_far_apart_as_the_cool_down(
        scores in prop::collection::vec(prop::collection::vec(0.0_f32..1.0, 3), 1..200),
        hold_ms in 0_u64..300,
        cooldown_ms in 0_u64..2000,
    ) {
        let rules = Rules { cooldown: Duration::from_millis(cooldown_ms), ..rules(hold_ms) };
        let found = changes(rules, &scores);
        prop_assert!(found.windows(2).all(|pair| (pair[1].0 - pair[0].0) as u64 * 100 >= cooldown_ms), "{:?}", found);
        prop_assert!(found.windows(2).all(|pair| pair[0].1 != pair[1].1), "{:?}", found);
    }
}
