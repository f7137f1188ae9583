//! The halo that a convolution writes around its results so that the next one can read them in place.

use serde::{Deserialize, Serialize};

use super::check::{Checked, ensure, work};
use super::memory_plan::Placement;
use super::segments::{Halo, Segment};
use crate::kernels::{Kernels, TileMut};
use crate::model::fused::Shape;

/// How to write copies and padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HaloWriter {
    /// What padding is filled with.
    zero: u8,
    area: usize,
    planes: usize,
    lead: usize,
    fresh: bool,
    /// For each copy a mask over the four bytes of each pixel: those that are kept.
    masks: Vec<Vec<u8>>,
}

impl HaloWriter {
    /// The writer for a segment at its place; quantized values are xored with `flip` to be stored.
    pub(super) fn new(segment: &Segment, halo: &Halo, place: &Placement, flip: u8) -> Self {
        let Shape { width, .. } = segment.shape;
        let stays = |shift: isize, column: usize| {
            if shift < 0 { column < width.saturating_sub(shift.unsigned_abs()) } else { column >= shift.unsigned_abs() }
        };
        let byte = |shift: isize, i: usize| if stays(shift, i / 4 % width) { 0xff } else { 0 };
        let area = segment.shape.area();
        let mask = |&shift: &isize| (0..4 * area).map(|i| byte(shift, i)).collect();
        Self {
            zero: halo.zero ^ flip,
            area,
            planes: segment.planes,
            lead: place.lead,
            fresh: place.fresh,
            masks: halo.shifts.iter().map(mask).collect(),
        }
    }

    /// Checks that it fits a segment of this shape, with `planes` planes at this place.
    pub(super) fn check(&self, place: &Placement, planes: usize, shape: Shape) -> Checked {
        let Self { area, masks, lead, .. } = self;
        ensure(*area == shape.area() && *lead == place.lead && self.planes == planes, "a halo for another segment")?;
        ensure((masks.len() + 1).checked_mul(planes) == Some(place.planes), "a halo with another number of planes")?;
        ensure(masks.iter().all(|mask| mask.len() == 4 * area), "masks that do not cover the image")
    }

    /// Approximate number of values written for one image.
    pub(super) fn work(&self) -> u64 {
        work(&[4, self.area, self.planes, 1 + self.masks.len()])
    }

    /// Writes the padding before and behind the images of all planes, copies included; `bytes` is all of the segment's memory.
    pub(super) fn write_around(&self, bytes: &mut [u8], plane_stride: usize) {
        if !self.fresh {
            return;
        }
        for plane in bytes.chunks_exact_mut(plane_stride) {
            plane[..self.lead].fill(self.zero);
            plane[self.lead + 4 * self.area..].fill(self.zero);
        }
    }

    /// Writes the copies of the tile of results that begins at byte `begin` of its planes, and restores padding that was
    /// overwritten behind the image.
    pub(super) fn write_beside(&self, kernels: Kernels, begin: usize, tile: &mut TileMut<'_, u8>) {
        let inside = tile.results().len().min((4 * self.area).saturating_sub(begin));
        kernels.vectorize(
            #[inline(always)]
            || {
                for plane in 0..tile.results().planes() {
                    tile.results().plane(plane)[inside..].fill(self.zero);
                    for (copy, mask) in self.masks.iter().enumerate() {
                        let (from, to) = tile.copy(plane, copy);
                        let places = to[..inside].iter_mut().zip(&from[..inside]).zip(&mask[begin..begin + inside]);
                        places.for_each(|((to, from), mask)| *to = (from ^ self.zero) & mask ^ self.zero);
                    }
                }
            },
        );
    }
}
