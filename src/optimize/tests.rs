//! Rewrites change no result: random networks give the same before and after.

use super::rewrite::{bound_sums, fold_norms, only_reader, pool_first, share_prologues};
use crate::model::fused::random::{self, NumberKind};
use crate::model::fused::{ConvolutionWeights, FusedNetwork, Op};

/// Number of random networks.
const CASES: u64 = 2000;

fn slices(values: &[Vec<f32>]) -> Vec<&[f32]> {
    values.iter().map(Vec::as_slice).collect()
}

/// The interpreter's outputs, if all intermediate values are exact in f32, so that sums do not depend on their order.
pub(super) fn exactly(network: &FusedNetwork, inputs: &[Vec<f32>]) -> Option<Vec<Vec<f32>>> {
    let mut exact = true;
    let outputs = network.run_observed(&slices(inputs), &mut |_, _, values| {
        exact &= values.iter().all(|value| value.abs() < 1024.0 && (value * 256.0).fract() == 0.0);
    });
    exact.then_some(outputs)
}

type Rewrite = fn(&mut FusedNetwork);

/// The rewrites by name.
const REWRITES: [(&str, Rewrite); 5] = [
    ("fold_norms", fold_norms),
    ("pool_first", pool_first),
    ("share_prologues", share_prologues),
    // Norms that were folded leave bounds alone.
    ("bound_sums", |network| {
        fold_norms(network);
        bound_sums(network);
    }),
    ("all", |network| {
        fold_norms(network);
        pool_first(network);
        share_prologues(network);
        bound_sums(network);
    }),
];

/// The random networks contain cases that rewrites must leave alone: a float convolution whose results are rounded before their
/// only reader's norm, and one whose pool is rounded.
#[test]
fn random_networks_hold_what_must_not_be_moved() {
    let (mut rounded, mut pooled) = (0, 0);
    for seed in 0..CASES {
        let network = random::network(seed, NumberKind::Exact);
        for (number, layer) in network.layers.iter().enumerate() {
            let Some(reader) = only_reader(&network, network.inputs.len() + number) else { continue };
            let float = matches!(layer.op, Op::Convolution { weights: ConvolutionWeights::Float { .. }, .. });
            let normed = network.layers[reader].reads[0].prologue.first().is_some_and(|affine| !affine.round);
            let pool = matches!(network.layers[reader].op, Op::SumPool(_));
            rounded += usize::from(float && normed && layer.epilogue.iter().any(|affine| affine.round));
            pooled += usize::from(float && pool && network.layers[reader].epilogue.iter().any(|affine| affine.round));
        }
    }
    assert!(rounded > 20 && pooled > 20, "{rounded} and {pooled}");
}

#[test]
fn rewritten_networks_give_the_same_bits_where_sums_are_exact() {
    let mut rewritten = [0; REWRITES.len()];
    for seed in 0..CASES {
        let network = random::network(seed, NumberKind::Exact);
        let inputs = random::inputs(&network, seed);
        let Some(expected) = exactly(&network, &inputs) else { continue };
        for ((name, rewrite), count) in REWRITES.iter().zip(&mut rewritten) {
            let mut after = network.clone();
            rewrite(&mut after);
            if after == network {
                continue;
            }
            after.check().unwrap_or_else(|error| panic!("seed {seed}, {name}: {error}"));
            if let Some(found) = exactly(&after, &inputs) {
                *count += 1;
                assert!(found == expected, "seed {seed}, {name}: {found:?} for {expected:?}\n{network:#?}\n{after:#?}");
            }
        }
    }
    assert!(rewritten.iter().all(|&count| count > 5), "{rewritten:?} networks were rewritten");
}

#[test]
fn rewritten_float_networks_give_the_same_but_for_rounding() {
    let mut rewritten = [0; REWRITES.len()];
    for seed in 0..CASES {
        let network = random::network(seed, NumberKind::Float);
        let inputs = random::inputs(&network, seed);
        let expected = network.run(&slices(&inputs));
        for ((name, rewrite), count) in REWRITES.iter().zip(&mut rewritten) {
            let mut after = network.clone();
            rewrite(&mut after);
            if after == network {
                continue;
            }
            *count += 1;
            let found = after.run(&slices(&inputs));
            for (found, expected) in found.iter().zip(&expected) {
                let largest = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
                let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far <= 1e-5 * largest, "seed {seed}, {name}: {found:?} for {expected:?}\n{network:#?}");
            }
        }
    }
    assert!(rewritten.iter().all(|&count| count > 20), "{rewritten:?} networks were rewritten");
}

/// A transition whose pool is rounded: what is rounded is the average, not the sum.
#[test]
fn a_pool_that_writes_quantized_values_takes_the_factor_up_itself() {
    let found = (0..CASES).find_map(|seed| {
        let network = random::network(seed, NumberKind::Exact);
        let mut after = network.clone();
        pool_first(&mut after);
        let pool = network.layers.iter().zip(&after.layers).find(|(before, after)| {
            matches!(before.op, Op::SumPool(_)) && !matches!(after.op, Op::SumPool(_)) && !before.epilogue.is_empty()
        })?;
        Some((pool.0.clone(), pool.1.clone()))
    });
    let (before, after) = found.expect("a seed has one");
    let Op::SumPool(window) = before.op else { unreachable!("a pool was looked for") };
    let factor = window.len() as f32;
    assert!(before.epilogue[0].mul.iter().zip(&after.epilogue[0].mul).all(|(before, after)| before * factor == *after));
}
