//! Channels that groups pick from all over what is read, brought together: four channels of a group to a plane.

use serde::{Deserialize, Serialize};

use super::check::{Checked, ensure};

/// Planes of picked lanes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pick {
    /// For each lane of each plane, the lane of the gathered planes.
    planes: Vec<[usize; 4]>,
}

/// Values of which four make a pixel of a plane.
pub(super) trait Lane: Copy {
    /// One value of each of four pixels: of the first that in lane `lanes[0]`, and so on.
    fn join(pixels: [[Self; 4]; 4], lanes: [usize; 4]) -> [Self; 4];
}

impl Lane for u8 {
    /// Four bytes at a time, so that the compiler makes vectors of many pixels.
    #[inline(always)]
    fn join(pixels: [[u8; 4]; 4], lanes: [usize; 4]) -> [u8; 4] {
        let byte = |at: usize| (u32::from_le_bytes(pixels[at]) >> (8 * lanes[at]) & 0xff) << (8 * at);
        (byte(0) | byte(1) | byte(2) | byte(3)).to_le_bytes()
    }
}

impl Lane for f32 {
    #[inline(always)]
    fn join(pixels: [[f32; 4]; 4], lanes: [usize; 4]) -> [f32; 4] {
        std::array::from_fn(|at| pixels[at][lanes[at]])
    }
}

/// How many times as many k-steps there have to be without picking for it to be worth it: a pick costs about a k-step.
const WORTH: usize = 2;

impl Pick {
    /// The lanes that groups read, group by group, if the planes that hold a group's lanes hold so many of others that bringing them
    /// together pays. `lanes` are those of all channels.
    pub(super) fn of(lanes: &[usize], groups: usize) -> Option<Self> {
        let each = lanes.len() / groups;
        if groups == 1 || each < 4 || !each.is_multiple_of(4) {
            return None;
        }
        let held = |group: &[usize]| {
            let mut planes: Vec<usize> = group.iter().map(|lane| lane / 4).collect();
            planes.sort_unstable();
            planes.dedup();
            planes.len()
        };
        let without: usize = lanes.chunks(each).map(held).sum();
        let planes = lanes.as_chunks::<4>().0.to_vec();
        (without >= WORTH * planes.len()).then_some(Self { planes })
    }

    /// The picked lanes, plane by plane.
    pub(super) fn planes(&self) -> &[[usize; 4]] {
        &self.planes
    }

    /// Checks that all lanes are among those of `planes` planes.
    pub(super) fn check(&self, planes: usize) -> Checked {
        ensure(self.planes.iter().flatten().all(|lane| lane / 4 < planes), "picked lanes of no plane")
    }

    /// Picks from the first `pixels` pixels of planes that are `plane_stride` values apart, into planes as far apart.
    #[inline(always)]
    pub(super) fn fill<T: Lane>(&self, from: &[T], plane_stride: usize, pixels: usize, out: &mut [T]) {
        for (lanes, out) in self.planes.iter().zip(out.chunks_mut(plane_stride)) {
            let plane = |lane: usize| from[lane / 4 * plane_stride..][..4 * pixels].as_chunks::<4>().0;
            let [a, b, c, d] = lanes.map(plane);
            let lanes = lanes.map(|lane| lane % 4);
            let out = out[..4 * pixels].as_chunks_mut::<4>().0;
            for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *out = T::join([*a, *b, *c, *d], lanes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_groups_are_brought_together() {
        // Two groups of four channels, each of which lies in all of four planes.
        let pick = Pick::of(&[0, 4, 8, 12, 1, 5, 9, 13], 2).unwrap();
        let from: Vec<u8> = (0..4 * 8).collect();
        let mut out = [0; 2 * 8];
        pick.fill(&from, 8, 2, &mut out);
        assert_eq!(out, [0, 8, 16, 24, 4, 12, 20, 28, 1, 9, 17, 25, 5, 13, 21, 29]);
        let mut floats = [0.0; 2 * 8];
        pick.fill(&from.iter().map(|&byte| f32::from(byte)).collect::<Vec<_>>(), 8, 2, &mut floats);
        assert_eq!(floats, out.map(f32::from));
        assert!(pick.check(4).is_ok() && pick.check(3).is_err());
    }

    #[test]
    fn what_lies_together_is_left_as_it_is() {
        assert_eq!(Pick::of(&[0, 1, 2, 3, 4, 5, 6, 7], 2), None);
        assert_eq!(Pick::of(&[0, 4, 8, 12], 1), None, "one group reads all planes anyway");
        assert_eq!(Pick::of(&[0, 4], 2), None, "depthwise");
    }
}
