//! The order in which NEON adds the k-steps of a block: in chains whose products are added up in 16 bits.
//!
//! A lane of 16 bits holds the products of one channel, and activations are shifted, |x| <= 128: where the |weights| of a lane
//! add up to at most 255, the sum is at most 32640 and fits. Two k-steps always fit; as most weights are small, many more do if
//! they are chosen well.

use super::CHANNEL_BLOCK;

/// Number of 16-bit sums of a block: four channels of a k-step for each of two output channels.
const LANES: usize = 2 * CHANNEL_BLOCK;

/// The most k-steps of a chain.
const LONGEST: usize = 16;

/// The most that the weights of a lane may sum up to in a chain: 128 * 255 = 32640 fits 16 bits.
const SUM: u16 = 255;

/// How many of the largest and of the smallest k-steps are candidates for the next of a chain.
const WINDOW: usize = 64;

/// Chains of k-steps whose products fit 16 bits in each lane; `steps` holds each k-step's weights for the two channels of a
/// block.
///
/// Each chain has an even number of k-steps; `None` is a k-step of zeros. Two always fit: 2 * 127 = 254.
pub(super) fn chains(steps: &[[[i8; CHANNEL_BLOCK]; 2]]) -> Vec<Vec<Option<usize>>> {
    let size =
        |step: &[[i8; CHANNEL_BLOCK]; 2]| std::array::from_fn(|lane| step.as_flattened()[lane].unsigned_abs().into());
    let sizes: Vec<[u16; LANES]> = steps.iter().map(size).collect();
    let total = |step: usize| sizes[step].iter().sum::<u16>();
    // Large ones first: small ones fit beside any.
    let mut left: Vec<usize> = (0..steps.len()).collect();
    left.sort_by_key(|&step| std::cmp::Reverse(total(step)));
    let mut chains = Vec::new();
    while !left.is_empty() {
        let mut sums = [0; LANES];
        let mut chain = Vec::new();
        while chain.len() < LONGEST {
            let fullest = |step: usize| (0..LANES).map(|lane| sums[lane] + sizes[step][lane]).max().unwrap_or(0);
            // Prefers a large total that leaves the most room in the fullest lane.
            let cost = |place: usize| {
                let (step, first) = (left[place], chain.is_empty());
                let most = fullest(step);
                let cost = LANES as i32 * i32::from(most) - 4 * i32::from(total(step));
                (most <= SUM).then_some((if first { place as i32 } else { cost }, place))
            };
            let n = left.len();
            let near = (0..n.min(WINDOW / 2)).chain(n.saturating_sub(WINDOW / 2).max(WINDOW / 2)..n);
            let Some((_, place)) = near.filter_map(cost).min() else { break };
            let step = left.remove(place);
            (0..LANES).for_each(|lane| sums[lane] += sizes[step][lane]);
            chain.push(Some(step));
        }
        if chain.len() % 2 == 1 {
            match (left.is_empty(), chain.last()) {
                (false, Some(&Some(last))) => {
                    chain.pop();
                    left.insert(left.partition_point(|&step| total(step) > total(last)), last);
                }
                _ => chain.push(None),
            }
        }
        chains.push(chain);
    }
    chains
}

/// Whether `chains`, the numbers of pairs of k-steps with a 0 after each block's, match blocks that end at `ends`.
pub(super) fn fit(chains: &[u8], ends: &[u32]) -> bool {
    let Some((0, chains)) = chains.split_last() else { return chains.is_empty() && ends.is_empty() };
    if chains.iter().any(|&pairs| usize::from(pairs) > LONGEST / 2) {
        return false;
    }
    let mut end = 0;
    let counted: Vec<u32> = chains
        .split(|&pairs| pairs == 0)
        .map(|block| {
            end += block.iter().map(|&pairs| 2 * u32::from(pairs)).sum::<u32>();
            end
        })
        .collect();
    counted == ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_fit() {
        let mut state = 1u32;
        let mut weight = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) as i8).max(-127) / 4
        };
        for steps in 0..200 {
            let lanes: Vec<[[i8; CHANNEL_BLOCK]; 2]> =
                (0..steps).map(|_| std::array::from_fn(|_| std::array::from_fn(|_| weight()))).collect();
            let chains = chains(&lanes);
            let mut seen: Vec<usize> = chains.iter().flatten().flatten().copied().collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..steps));
            for chain in &chains {
                assert!(chain.len() % 2 == 0 && chain.len() <= LONGEST);
                for lane in 0..8 {
                    let sizes =
                        chain.iter().flatten().map(|&step| u32::from(lanes[step].as_flattened()[lane].unsigned_abs()));
                    assert!(sizes.sum::<u32>() <= 255);
                }
            }
            assert!(chains.iter().flatten().filter(|step| step.is_none()).count() == steps % 2);
        }
    }
}
