//! Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5) with a backtracking line search, for functions that are
//! smooth and convex.

use std::collections::VecDeque;

/// Steps whose curvature is remembered.
const MEMORY: usize = 8;
/// Least share of the decrease that the slope promises (Armijo's condition).
const DECREASE: f64 = 1e-4;
/// Times that a step is halved.
const HALVINGS: usize = 30;

/// Where `f`, which gives a value and a gradient, is least: from `start`, until the gradient is no longer than `tolerance`, or after
/// `iterations` steps.
pub(super) fn minimize(
    start: Vec<f32>,
    mut f: impl FnMut(&[f32]) -> (f64, Vec<f32>),
    tolerance: f64,
    iterations: usize,
) -> Vec<f32> {
    let mut x = start;
    let (mut value, mut gradient) = f(&x);
    let mut steps: VecDeque<Step> = VecDeque::with_capacity(MEMORY);
    for _ in 0..iterations {
        if dot(&gradient, &gradient).sqrt() <= tolerance {
            break;
        }
        let mut direction = direction(&gradient, &steps);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // The memory is of no use: down the gradient.
            steps.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        // Without a memory of the curvature a step is as long as 1.
        let mut length = if steps.is_empty() { 1.0 / (-slope).sqrt().max(1.0) } else { 1.0 };
        let mut taken = None;
        for _ in 0..HALVINGS {
            let next: Vec<f32> = x.iter().zip(&direction).map(|(x, d)| x + length as f32 * d).collect();
            let (next_value, next_gradient) = f(&next);
            if next_value <= value + DECREASE * length * slope {
                taken = Some((next, next_value, next_gradient));
                break;
            }
            length /= 2.0;
        }
        let Some((next, next_value, next_gradient)) = taken else { break };
        steps.extend(Step::between(&x, &next, &gradient, &next_gradient));
        if steps.len() > MEMORY {
            steps.pop_front();
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    x
}

/// A step, and by how much the gradient changed.
struct Step {
    x: Vec<f32>,
    gradient: Vec<f32>,
    /// Their product.
    curvature: f64,
}

impl Step {
    /// `None` where rounding hides the curvature.
    fn between(from: &[f32], to: &[f32], gradient: &[f32], next: &[f32]) -> Option<Self> {
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>();
        let (x, gradient) = (difference(to, from), difference(next, gradient));
        let curvature = dot(&x, &gradient);
        (curvature > 1e-10 * dot(&gradient, &gradient)).then_some(Self { x, gradient, curvature })
    }
}

/// The two-loop recursion.
fn direction(gradient: &[f32], steps: &VecDeque<Step>) -> Vec<f32> {
    let mut q = gradient.to_vec();
    let mut shares = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let share = dot(&step.x, &q) / step.curvature;
        add(&mut q, -share, &step.gradient);
        shares.push(share);
    }
    if let Some(last) = steps.back() {
        let scale = (last.curvature / dot(&last.gradient, &last.gradient)) as f32;
        q.iter_mut().for_each(|value| *value *= scale);
    }
    for (step, share) in steps.iter().zip(shares.into_iter().rev()) {
        let other = dot(&step.gradient, &q) / step.curvature;
        add(&mut q, share - other, &step.x);
    }
    q.iter_mut().for_each(|value| *value = -*value);
    q
}

fn add(to: &mut [f32], factor: f64, values: &[f32]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += factor as f32 * value);
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_valley_is_followed_to_its_end() {
        // Curvatures from 1 to 1000, least at 1, 2, 3 and so on.
        let curvature = |i: usize| 1000_f32.powf(i as f32 / 9.0);
        let mut calls = 0;
        let found = minimize(
            vec![0.0; 10],
            |x| {
                calls += 1;
                let off: Vec<f32> = x.iter().enumerate().map(|(i, x)| x - (i + 1) as f32).collect();
                let value = off.iter().enumerate().map(|(i, d)| f64::from(curvature(i) * d * d) / 2.0).sum();
                (value, off.iter().enumerate().map(|(i, d)| curvature(i) * d).collect())
            },
            1e-3,
            200,
        );
        let worst = found.iter().enumerate().map(|(i, x)| (x - (i + 1) as f32).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-3 && calls < 150, "{worst} after {calls} calls: {found:?}");
    }

    #[test]
    fn a_start_at_the_end_stays() {
        assert_eq!(minimize(vec![3.0], |x| (f64::from(x[0] - 3.0).powi(2), vec![2.0 * (x[0] - 3.0)]), 1e-6, 50), [3.0]);
    }
}
