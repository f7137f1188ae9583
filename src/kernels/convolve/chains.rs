//! In which order NEON adds the steps of a block: in fours where sums of 16 bits allow it.
//!
//! A lane of 16 bits holds the products of one channel of a step, or the sum of several steps' ones. Activations are shifted, |x|
//! <= 128: where the |weights| of a lane add up to at most 255, the sum is at most 32640 and fits. Two steps always fit, and
//! weights are mostly small: four nearly always do if they are chosen, for each of the 16 lanes.

/// Weights of a step for four output channels.
pub(super) type Step = [[i8; 4]; 4];

/// The greatest sum of magnitudes.
const MOST: i32 = 255;

/// How many steps may be tried to complete a four.
const TRIES: usize = 64;

/// The order of steps: fours first, then the others, and how many are in fours.
pub(super) fn order(steps: &[Step]) -> (Vec<usize>, usize) {
    // Heavy steps first: they need the light ones that are left.
    let mut left: Vec<usize> = (0..steps.len()).collect();
    left.sort_by_key(|&step| std::cmp::Reverse(greatest(&magnitudes(&steps[step]))));
    let (mut fours, mut others) = (Vec::new(), Vec::new());
    while let Some(&first) = left.first() {
        let mut four = vec![first];
        let mut sum = magnitudes(&steps[first]);
        // From the light end, but heavier ones where they fit: light ones are needed elsewhere.
        let tried = left.len().saturating_sub(TRIES).max(1)..left.len();
        for &step in &left[tried] {
            let mut with = sum;
            with.iter_mut().zip(magnitudes(&steps[step])).for_each(|(sum, more)| *sum += more);
            if greatest(&with) <= MOST && four.len() < 4 {
                (sum, _) = (with, four.push(step));
            }
        }
        if four.len() == 4 {
            left.retain(|step| !four.contains(step));
            fours.extend(four);
        } else {
            left.remove(0);
            others.push(first);
        }
    }
    let count = fours.len();
    fours.extend(others);
    (fours, count)
}

fn magnitudes(step: &Step) -> [i32; 16] {
    std::array::from_fn(|i| i32::from(step[i / 4][i % 4]).abs())
}

fn greatest(sums: &[i32; 16]) -> i32 {
    sums.iter().copied().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights near the normal distribution, the greatest of them 127.
    fn normal(count: usize) -> Vec<Step> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 58) as i32
        };
        let mut weight = || ((0..4).map(|_| uniform()).sum::<i32>() - 126).clamp(-127, 127) as i8;
        (0..count).map(|_| std::array::from_fn(|_| std::array::from_fn(|_| weight()))).collect()
    }

    #[test]
    fn fours_fit_and_every_step_is_there_once() {
        for count in [0, 1, 2, 5, 40, 250] {
            let steps = normal(count);
            let (order, fours) = order(&steps);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            for four in order[..fours].chunks(4) {
                let mut sums = [0; 16];
                for &step in four {
                    sums.iter_mut().zip(magnitudes(&steps[step])).for_each(|(sum, more)| *sum += more);
                }
                assert!(four.len() == 4 && greatest(&sums) <= MOST);
            }
        }
    }

    #[test]
    fn most_steps_are_in_fours() {
        let (_, fours) = order(&normal(250));
        assert!(fours >= 200, "{fours} of 250");
    }

    #[test]
    fn heavy_steps_are_not() {
        assert_eq!(order(&[[[127; 4]; 4]; 9]).1, 0);
        assert_eq!(order(&[[[-63; 4]; 4]; 9]).1, 8);
        assert_eq!(order(&[[[64; 4]; 4]; 9]).1, 0);
    }
}
