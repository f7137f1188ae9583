//! How well a score tells pictures with a label from those without.

/// Share of all pairs of a picture with the label and one without in which the first has the higher score; equal scores count half.
/// This is the area under the ROC curve. `None` where there is no such pair.
pub(super) fn auc(judged: &[(f32, bool)]) -> Option<f64> {
    let positives = judged.iter().filter(|(_, truth)| *truth).count() as f64;
    let negatives = judged.len() as f64 - positives;
    let mut below = 0.0;
    let mut pairs = 0.0;
    for (with, without) in steps(judged).into_iter().rev() {
        pairs += with * (below + without / 2.0);
        below += without;
    }
    (positives > 0.0 && negatives > 0.0).then(|| pairs / (positives * negatives))
}

/// The mean over all pictures with the label of the precision among those that score at least as high. `None` without such a picture.
pub(super) fn average_precision(judged: &[(f32, bool)]) -> Option<f64> {
    let (mut found, mut taken, mut sum) = (0.0, 0.0, 0.0);
    for (with, without) in steps(judged) {
        found += with;
        taken += with + without;
        sum += with * found / taken;
    }
    (found > 0.0).then(|| sum / found)
}

/// For each score, the highest first, how many pictures with the label and without it have that score.
fn steps(judged: &[(f32, bool)]) -> Vec<(f64, f64)> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let count = |group: &[(f32, bool)]| {
        let with = group.iter().filter(|(_, truth)| *truth).count();
        (with as f64, (group.len() - with) as f64)
    };
    sorted.chunk_by(|a, b| a.0 == b.0).map(count).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rankings_by_hand() {
        // Pictures with the label are first and third of four.
        let judged = [(0.9, true), (0.7, false), (0.6, true), (0.1, false)];
        assert_eq!(auc(&judged), Some(0.75));
        assert_eq!(average_precision(&judged), Some((1.0 + 2.0 / 3.0) / 2.0));
        let alike = [(0.5, true), (0.5, false), (0.5, false), (0.5, true)];
        assert_eq!((auc(&alike), average_precision(&alike)), (Some(0.5), Some(0.5)));
        assert_eq!((auc(&[(0.5, true)]), average_precision(&[(0.5, true)])), (None, Some(1.0)));
        assert_eq!((auc(&[(0.5, false)]), average_precision(&[(0.5, false)])), (None, None));
    }

    proptest! {
        #[test]
        fn both_are_what_their_definitions_say(judged in prop::collection::vec((0_u8..6, any::<bool>()), 1..40)) {
            let judged: Vec<(f32, bool)> = judged.into_iter().map(|(score, truth)| (f32::from(score), truth)).collect();
            let of = |truth: bool| judged.iter().filter(move |judged| judged.1 == truth).map(|judged| judged.0);
            let pairs: Vec<f64> = of(true)
                .flat_map(|a| of(false).map(move |b| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 }))
                .collect();
            let mean = |numbers: &[f64]| (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64);
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                (a, b) => a == b,
            };
            prop_assert!(near(auc(&judged), mean(&pairs)));
            let precision = |score: f32| {
                let taken = judged.iter().filter(|judged| judged.0 >= score).count();
                of(true).filter(|&other| other >= score).count() as f64 / taken as f64
            };
            let precisions: Vec<f64> = of(true).map(precision).collect();
            prop_assert!(near(average_precision(&judged), mean(&precisions)));
        }
    }
}
