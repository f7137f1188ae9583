//! Linear discriminant analysis with a shrunken covariance (Friedman, Regularized Discriminant Analysis, 1989).
//!
//! The score of class `c` is `x W m_c - m_c W m_c / 2`, with the class's mean `m_c` and `W` the inverse of `S + shrinkage * I`, where `S`
//! is the covariance of the features within classes. What makes pictures of one class differ, such as their light, counts little. There
//! are more features than rows, so all is computed from the products of rows with one another.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use super::cholesky::solve;
use crate::model::onnx::Tap;

/// Least deviation of a feature that is used, as a part of its largest value: what hardly ever changed is not to be blown up when it does.
const LEAST_DEVIATION: f32 = 1e-3;

/// Features with a mean of 0 and a deviation of 1, and the classes that they are to tell.
pub(super) struct Problem {
    rows: Array2<f32>,
    truths: Vec<usize>,
    means: Vec<f32>,
    deviations: Vec<f32>,
    classes: usize,
    /// The product of each row with each other.
    gram: Array2<f64>,
}

/// What each row counts for each class, `[rows, classes]`, and each class's constant.
struct Solution {
    shares: Array2<f64>,
    bias: Vec<f64>,
}

/// A linear head: scores are `features * weights + bias`.
pub(super) struct Head {
    /// `[features, classes]`.
    weights: Array2<f32>,
    bias: Vec<f32>,
}

impl Problem {
    /// `features` has a row for each of `truths`, which are below `classes`.
    pub(super) fn new(features: &ArrayView2<'_, f32>, truths: Vec<usize>, classes: usize) -> Self {
        let means: Vec<f32> = features.mean_axis(Axis(0)).map_or_else(Vec::new, |means| means.to_vec());
        let deviation = |column: ArrayView1<'_, f32>| {
            let deviation = column.var(0.0).max(0.0).sqrt();
            let largest = column.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            // Of an infinite one all values are 0, and so is the weight.
            if deviation > LEAST_DEVIATION * largest { deviation } else { f32::INFINITY }
        };
        let deviations: Vec<f32> = features.columns().into_iter().map(deviation).collect();
        let mut rows = features.to_owned();
        for mut row in rows.rows_mut() {
            for (value, (mean, deviation)) in row.iter_mut().zip(means.iter().zip(&deviations)) {
                *value = (*value - mean) / deviation;
            }
        }
        let gram = rows.dot(&rows.t()).mapv(f64::from);
        Self { rows, truths, means, deviations, classes, gram }
    }

    /// For each shrinkage the scores of the rows `asked`, one behind the other, by an analysis of the rows `kept`.
    pub(super) fn left_out(&self, kept: &[usize], asked: &[usize], shrinkages: &[f64]) -> Vec<Array2<f64>> {
        let gram = self.gram.select(Axis(0), kept);
        let between = gram.select(Axis(1), asked);
        let within = gram.select(Axis(1), kept);
        let truths: Vec<usize> = kept.iter().map(|&row| self.truths[row]).collect();
        let scores = |shrinkage: &f64| {
            let Solution { shares, bias } = solution(&within, &truths, self.classes, *shrinkage);
            between.t().dot(&shares) + Array1::from(bias)
        };
        shrinkages.iter().map(scores).collect()
    }

    /// The head of all rows, for features as they are; scores are divided by `temperature`.
    pub(super) fn head(&self, shrinkage: f64, temperature: f64) -> Head {
        let Solution { shares, bias } = solution(&self.gram, &self.truths, self.classes, shrinkage);
        let mut weights = self.rows.t().dot(&shares.mapv(|share| (share / temperature) as f32));
        let mut bias: Vec<f32> = bias.into_iter().map(|bias| (bias / temperature) as f32).collect();
        for ((mut row, mean), deviation) in weights.rows_mut().into_iter().zip(&self.means).zip(&self.deviations) {
            row.mapv_inplace(|weight| weight / deviation);
            bias.iter_mut().zip(&row).for_each(|(bias, weight)| *bias -= mean * weight);
        }
        Head { weights, bias }
    }
}

impl Head {
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

/// The analysis of rows whose products with one another are `gram`.
///
/// With the rows `A`, the averages `P` that give the classes' means `P' A`, and the projection `C` that subtracts each row's own class's
/// mean, `S = (C A)' (C A) / n`; by Woodbury's identity the weights are `A' (P - C R) / shrinkage` with
/// `R = (C A A' C / n + shrinkage * I)^-1 C A A' P / n`.
fn solution(gram: &Array2<f64>, truths: &[usize], classes: usize, shrinkage: f64) -> Solution {
    let n = truths.len();
    let mut counts = vec![0_usize; classes];
    truths.iter().for_each(|&class| counts[class] += 1);
    let mut averages = Array2::zeros((n, classes));
    truths.iter().enumerate().for_each(|(row, &class)| averages[[row, class]] = 1.0 / counts[class] as f64);
    // Subtracts each class's mean from its rows.
    let centred = |matrix: &Array2<f64>| {
        let means = averages.t().dot(matrix);
        let mut centred = matrix.clone();
        centred.rows_mut().into_iter().zip(truths).for_each(|(mut row, &class)| row -= &means.row(class));
        centred
    };
    let half = centred(gram);
    let mut system = centred(&half.t().to_owned());
    system /= n as f64;
    system.diag_mut().mapv_inplace(|value| value + shrinkage);
    let inverse = solve(system, half.dot(&averages) / n as f64);
    let shares = (&averages - &centred(&inverse)) / shrinkage;
    let products = averages.t().dot(gram).dot(&shares);
    let bias = products.diag().iter().map(|product| -product / 2.0).collect();
    Solution { shares, bias }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes around the corners of a triangle, in features of very different sizes; one never changes, one wavers a lot.
    fn triangle() -> (Array2<f32>, Vec<usize>) {
        let corners = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        let truths: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let noise = |i: usize| ((i * 7919) % 101) as f32 / 50.0 - 1.0;
        let rows = truths.iter().enumerate().flat_map(|(i, &class)| {
            let [x, y] = corners[class];
            [1000.0 * (x + noise(i)) + 5e4, 0.01 * (y + noise(i + 17)), 3.0, 50.0 * noise(3 * i)]
        });
        (Array2::from_shape_vec((60, 4), rows.collect()).unwrap(), truths)
    }

    fn scores(head: &Head, features: &Array2<f32>) -> Array2<f32> {
        features.dot(&head.weights) + Array1::from(head.bias.clone())
    }

    fn best(scores: ArrayView1<'_, f32>) -> usize {
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
    }

    #[test]
    fn what_can_be_told_apart_is() {
        let (features, truths) = triangle();
        let problem = Problem::new(&features.view(), truths.clone(), 3);
        let head = problem.head(0.1, 1.0);
        let found: Vec<usize> = scores(&head, &features).rows().into_iter().map(best).collect();
        assert_eq!(found, truths);
        assert!(head.weights.row(2).iter().all(|&weight| weight == 0.0), "what never changes counts nothing");
    }

    #[test]
    fn weights_are_those_of_the_definition() {
        let (features, truths) = triangle();
        let problem = Problem::new(&features.view(), truths.clone(), 3);
        let rows = problem.rows.mapv(f64::from);
        let mean = |class: usize| {
            let own: Vec<usize> = (0..60).filter(|&row| truths[row] == class).collect();
            rows.select(Axis(0), &own).mean_axis(Axis(0)).unwrap()
        };
        let means: Vec<Array1<f64>> = (0..3).map(mean).collect();
        let mut within = Array2::<f64>::eye(4) * 0.5;
        for (row, &class) in rows.rows().into_iter().zip(&truths) {
            let off = (&row - &means[class]).insert_axis(Axis(0));
            within = within + off.t().dot(&off) / 60.0;
        }
        let mut targets = Array2::zeros((4, 3));
        (0..3).for_each(|class| targets.column_mut(class).assign(&means[class]));
        let weights = solve(within, targets);
        let found = problem.left_out(&(0..60).collect::<Vec<_>>(), &[0, 1, 2, 59], &[0.5]).remove(0);
        for (at, &row) in [0, 1, 2, 59].iter().enumerate() {
            for class in 0..3 {
                let direction = weights.column(class);
                let expected = rows.row(row).dot(&direction) - means[class].dot(&direction) / 2.0;
                assert!((found[[at, class]] - expected).abs() < 1e-4, "{expected} and {}", found[[at, class]]);
            }
        }
        // The head computes the same of features as they are.
        let head = scores(&problem.head(0.5, 2.0), &features);
        let all = problem.left_out(&(0..60).collect::<Vec<_>>(), &(0..60).collect::<Vec<_>>(), &[0.5]).remove(0);
        let worst = head.iter().zip(&all).map(|(&a, &b)| (f64::from(a) - b / 2.0).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{worst}");
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
