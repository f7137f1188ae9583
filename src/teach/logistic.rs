//! Multinomial logistic regression with an L2 penalty.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};

use super::lbfgs::minimize;
use crate::model::onnx::Tap;

/// Where a fit ends: length of the gradient, and steps.
const TOLERANCE: f64 = 1e-3;
const ITERATIONS: usize = 100;
/// Least deviation of a feature that is used, as a part of its largest value: what hardly ever changed is not to be blown up when it does.
const LEAST_DEVIATION: f32 = 1e-3;

/// Features with a mean of 0 and a deviation of 1, and the classes that they are to tell.
pub(super) struct Problem {
    /// A row for each view; the last column is 1, for the bias.
    rows: Array2<f32>,
    truths: Vec<usize>,
    /// What each row counts: each class as much as any other, 1 in all.
    counts: Vec<f32>,
    means: Vec<f32>,
    deviations: Vec<f32>,
    classes: usize,
}

/// Weights of a problem's features, `[features + 1, classes]`.
pub(super) type Solution = Array2<f32>;

/// A linear head: scores are `features * weights + bias`.
pub(super) struct Head {
    /// `[features, classes]`.
    weights: Array2<f32>,
    bias: Vec<f32>,
}

impl Problem {
    /// `features` has a row for each of `truths`, which are below `classes`.
    pub(super) fn new(features: &ArrayView2<'_, f32>, truths: Vec<usize>, classes: usize) -> Self {
        let (rows, columns) = features.dim();
        let mut frequencies = vec![0_usize; classes];
        truths.iter().for_each(|&class| frequencies[class] += 1);
        let seen = frequencies.iter().filter(|&&count| count > 0).count().max(1);
        let counts = truths.iter().map(|&class| 1.0 / (seen * frequencies[class]) as f32).collect();
        let means: Vec<f32> = features.mean_axis(Axis(0)).map_or_else(|| vec![0.0; columns], |means| means.to_vec());
        let deviation = |column: ArrayView1<'_, f32>| {
            let deviation = column.var(0.0).max(0.0).sqrt();
            let largest = column.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            // Of an infinite one all values are 0, and so is the weight.
            if deviation > LEAST_DEVIATION * largest { deviation } else { f32::INFINITY }
        };
        let deviations: Vec<f32> = features.columns().into_iter().map(deviation).collect();
        let mut standard = Array2::ones((rows, columns + 1));
        for (mut to, from) in standard.rows_mut().into_iter().zip(features.rows()) {
            for ((to, from), (mean, deviation)) in to.iter_mut().zip(from).zip(means.iter().zip(&deviations)) {
                *to = (from - mean) / deviation;
            }
        }
        Self { rows: standard, truths, counts, means, deviations, classes }
    }

    /// The weights of the least loss: the mean surprise, and half of `strength` times the squares of all weights but the biases.
    pub(super) fn fit(&self, strength: f32, start: Option<&Solution>) -> Solution {
        let shape = (self.rows.ncols(), self.classes);
        let start = start.map_or_else(|| vec![0.0; shape.0 * shape.1], |start| start.iter().copied().collect());
        let found = minimize(start, |weights| self.loss(weights, strength), TOLERANCE, ITERATIONS);
        Array2::from_shape_vec(shape, found).unwrap_or_else(|_| Array2::zeros(shape))
    }

    /// The loss of weights, and its gradient.
    fn loss(&self, weights: &[f32], strength: f32) -> (f64, Vec<f32>) {
        let shape = (self.rows.ncols(), self.classes);
        let Ok(matrix) = ArrayView2::from_shape(shape, weights) else { return (f64::INFINITY, Vec::new()) };
        let mut scores = self.rows.dot(&matrix);
        let mut loss = 0.0;
        for ((mut row, &truth), &count) in scores.rows_mut().into_iter().zip(&self.truths).zip(&self.counts) {
            softmax(&mut row);
            loss -= f64::from(count) * f64::from(row[truth].max(f32::MIN_POSITIVE)).ln();
            row[truth] -= 1.0;
            row.mapv_inplace(|value| value * count);
        }
        let mut gradient = self.rows.t().dot(&scores);
        let penalized = (shape.0 - 1) * self.classes;
        let squares: f64 = weights[..penalized].iter().map(|&weight| f64::from(weight).powi(2)).sum();
        for (to, weight) in gradient.iter_mut().zip(&weights[..penalized]) {
            *to += strength * weight;
        }
        (loss + f64::from(strength) * squares / 2.0, gradient.iter().copied().collect())
    }

    /// The head of a solution: for features as they are.
    pub(super) fn head(&self, solution: &Solution) -> Head {
        let features = self.means.len();
        let mut weights = solution.slice(s![..features, ..]).to_owned();
        let mut bias = solution.row(features).to_vec();
        for ((mut row, mean), deviation) in weights.rows_mut().into_iter().zip(&self.means).zip(&self.deviations) {
            row.mapv_inplace(|weight| weight / deviation);
            bias.iter_mut().zip(&row).for_each(|(bias, weight)| *bias -= mean * weight);
        }
        Head { weights, bias }
    }
}

impl Head {
    /// For each row of features the probability of each class.
    pub(super) fn probabilities(&self, features: &ArrayView2<'_, f32>) -> Vec<Vec<f32>> {
        let scores = features.dot(&self.weights);
        let probable = |row: ArrayView1<'_, f32>| {
            let mut scores: Array1<f32> = row.iter().zip(&self.bias).map(|(score, bias)| score + bias).collect();
            softmax(&mut scores.view_mut());
            scores.to_vec()
        };
        scores.rows().into_iter().map(probable).collect()
    }

    /// The weights of each tap, `[classes, features of the tap]`, and the biases.
    pub(super) fn split(&self, taps: &[Tap]) -> (Vec<Vec<f32>>, Vec<f32>) {
        let mut first = 0;
        let of = |tap: &Tap| {
            let end = first + tap.features();
            let part = self.weights.slice(s![first..end, ..]);
            first = end;
            part.t().iter().copied().collect()
        };
        (taps.iter().map(of).collect(), self.bias.clone())
    }
}

fn softmax(scores: &mut ArrayViewMut1<'_, f32>) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.mapv_inplace(|score| (score - largest).exp());
    let sum = scores.sum();
    scores.mapv_inplace(|score| score / sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes around the corners of a triangle, in features of very different sizes, the last of which never changes.
    fn triangle() -> (Array2<f32>, Vec<usize>) {
        let corners = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        let truths: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let noise = |i: usize| ((i * 7919) % 101) as f32 / 50.0 - 1.0;
        let rows = truths.iter().enumerate().flat_map(|(i, &class)| {
            let [x, y] = corners[class];
            [1000.0 * (x + noise(i)) + 5e4, 0.01 * (y + noise(i + 17)), 3.0]
        });
        (Array2::from_shape_vec((60, 3), rows.collect()).unwrap(), truths)
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (rows, truths) = triangle();
        let problem = Problem::new(&rows.view(), truths, 3);
        let at: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let (_, gradient) = problem.loss(&at, 0.1);
        for i in 0..12 {
            let moved = |by: f32| {
                let mut at = at.clone();
                at[i] += by;
                problem.loss(&at, 0.1).0
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient[i])).abs() < 1e-3, "{i}: {slope} and {}", gradient[i]);
        }
    }

    #[test]
    fn what_can_be_told_apart_is() {
        let (rows, truths) = triangle();
        let problem = Problem::new(&rows.view(), truths.clone(), 3);
        let head = problem.head(&problem.fit(0.01, None));
        for (row, &truth) in head.probabilities(&rows.view()).iter().zip(&truths) {
            let best = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            assert!(best == Some(truth) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{truth}: {row:?}");
        }
        // A stronger penalty is less sure.
        let sure = |strength: f32| {
            let head = problem.head(&problem.fit(strength, None));
            head.probabilities(&rows.view()).iter().zip(&truths).map(|(row, &truth)| row[truth]).sum::<f32>()
        };
        assert!(sure(0.001) > sure(0.1) && sure(0.1) > sure(10.0) && sure(1e6) < 21.0);
    }

    #[test]
    fn a_rare_class_counts_as_much_as_others() {
        let rows = Array2::from_shape_vec((10, 1), (0..10).map(|i| if i == 9 { 1.0 } else { 0.0 }).collect()).unwrap();
        let truths = vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let problem = Problem::new(&rows.view(), truths, 2);
        let head = problem.head(&problem.fit(1e6, None));
        let [zero, one] = [0.0, 1.0].map(|x| head.probabilities(&ndarray::arr2(&[[x]]).view())[0][1]);
        assert!((zero - 0.5).abs() < 1e-3 && (one - 0.5).abs() < 1e-3, "{zero} and {one}");
    }

    #[test]
    fn weights_are_split_by_tap() {
        let weights = Array2::from_shape_vec((5, 2), (0..10).map(|i| i as f32).collect()).unwrap();
        let head = Head { weights, bias: vec![1.0, 2.0] };
        let tap = |channels| Tap { tensor: "t".into(), shape: [channels, 2, 2], grid: [1, 1] };
        let (parts, bias) = head.split(&[tap(2), tap(3)]);
        assert_eq!(parts, [vec![0.0, 2.0, 1.0, 3.0], vec![4.0, 6.0, 8.0, 5.0, 7.0, 9.0]]);
        assert_eq!(bias, [1.0, 2.0]);
    }
}
