//! The halo that a convolution writes around its results so that the next one can read them in place.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, ensure, work};
use super::memory_plan::Placement;
use super::segments::{Halo, Segment};
use crate::kernels::TileMut;
use crate::model::fused::Shape;

/// How to write copies and padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HaloWriter {
    /// What padding is filled with.
    zero: u8,
    width: usize,
    area: usize,
    planes: usize,
    lead: usize,
    fresh: bool,
    /// The column shift of each copy.
    shifts: Vec<isize>,
}

impl HaloWriter {
    /// The writer for a segment at its place; quantized values are xored with `flip` to be stored.
    pub(super) fn new(segment: &Segment, halo: &Halo, place: &Placement, flip: u8) -> Self {
        Self {
            zero: halo.zero ^ flip,
            width: segment.shape.width,
            area: segment.shape.area(),
            planes: segment.planes,
            lead: place.lead,
            fresh: place.fresh,
            shifts: halo.shifts.clone(),
        }
    }

    /// Checks that it fits a segment of this shape, with `planes` planes at this place.
    pub(super) fn check(&self, place: &Placement, planes: usize, shape: Shape) -> Checked {
        let Self { width, area, shifts, lead, .. } = self;
        let same = (*width, *area) == (shape.width, shape.area());
        ensure(same && *lead == place.lead && self.planes == planes, "a halo for another segment")?;
        ensure((shifts.len() + 1).checked_mul(planes) == Some(place.planes), "a halo with another number of planes")
    }

    /// The columns that hold padding in the copy of this shift, as their pixels wrapped.
    fn wrapped(&self, shift: isize) -> Range<usize> {
        let columns = shift.unsigned_abs().min(self.width);
        if shift < 0 { self.width - columns..self.width } else { 0..columns }
    }

    /// Approximate number of values written for one image.
    pub(super) fn work(&self) -> u64 {
        work(&[4, self.area, self.planes, 1 + self.shifts.len()])
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
    pub(super) fn write_beside(&self, begin: usize, tile: &mut TileMut<'_, u8>) {
        let inside = tile.results().len().min((4 * self.area).saturating_sub(begin));
        // The column of the tile's first pixel.
        let column = begin / 4 % self.width.max(1);
        for plane in 0..tile.results().planes() {
            tile.results().plane(plane)[inside..].fill(self.zero);
            for (copy, &shift) in self.shifts.iter().enumerate() {
                let (from, to) = tile.copy(plane, copy);
                to[..inside].copy_from_slice(&from[..inside]);
                let pixels = to[..inside].as_chunks_mut::<4>().0;
                for wrapped in self.wrapped(shift) {
                    let first = if wrapped < column { wrapped + self.width } else { wrapped } - column;
                    pixels.iter_mut().skip(first).step_by(self.width).for_each(|pixel| *pixel = [self.zero; 4]);
                }
            }
        }
    }
}
