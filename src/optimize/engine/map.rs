//! Segments in memory: planes of four channels, rows with room for padding between them.

use crate::kernels::{BLOCK, Source};
use crate::model::fused::Shape;

/// How the values of a segment are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Codes 0 to 255.
    Unsigned,
    /// Codes -128 to 127.
    Signed,
    /// Real numbers.
    Real,
}

/// Room around the rows of all segments of one height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Margin {
    /// Columns between one row and the next.
    pub(super) gap: usize,
    /// Rows before the first and behind the last.
    pub(super) rows: usize,
}

/// Where the values of a segment are: value `channel % 4` of pixel `first + row * pitch + column` of plane `channel / 4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// Pixels from one row to the next.
    pub(super) pitch: usize,
    /// Place of the first pixel.
    pub(super) first: usize,
    /// Pixels of a plane.
    pub(super) plane: usize,
}

impl Map {
    pub(super) fn new(shape: Shape, kind: Kind, margin: Margin) -> Self {
        let pitch = shape.width + margin.gap;
        let first = margin.rows * pitch + margin.gap;
        let behind = margin.rows * pitch + margin.gap + BLOCK;
        Self { shape, kind, pitch, first, plane: first + (shape.height * pitch).next_multiple_of(BLOCK) + behind }
    }

    pub(super) fn groups(&self) -> usize {
        self.shape.channels.div_ceil(4)
    }

    /// Pixels from the first to the last, gaps included, as whole blocks.
    pub(super) fn pixels(&self) -> usize {
        ((self.shape.height - 1) * self.pitch + self.shape.width).next_multiple_of(BLOCK)
    }

    /// Values of the whole buffer.
    pub(super) fn len(&self) -> usize {
        self.groups() * self.plane * 4
    }

    /// Place of a pixel's four values within its plane's.
    pub(super) fn at(&self, group: usize, row: usize, column: usize) -> usize {
        4 * (group * self.plane + self.first + row * self.pitch + column)
    }

    pub(super) fn buffer(&self) -> Buffer {
        match self.kind {
            Kind::Real => Buffer { bytes: Vec::new(), reals: vec![0.0; self.len()] },
            Kind::Unsigned | Kind::Signed => Buffer { bytes: vec![0; self.len()], reals: Vec::new() },
        }
    }

    pub(super) fn source<'a>(&self, buffer: &'a Buffer) -> Source<'a> {
        match self.kind {
            Kind::Unsigned => Source::Unsigned(&buffer.bytes),
            Kind::Signed => Source::Signed(&buffer.bytes),
            Kind::Real => Source::Real(&buffer.reals),
        }
    }

    /// Sets to 0 what kernels wrote between and behind the rows.
    pub(super) fn clear_margins(&self, bytes: &mut [u8]) {
        let Shape { height, width, .. } = self.shape;
        if self.pitch == width {
            return;
        }
        for group in 0..self.groups() {
            for row in 0..height - 1 {
                bytes[self.at(group, row, width)..self.at(group, row + 1, 0)].fill(0);
            }
            bytes[self.at(group, height - 1, width)..4 * (group + 1) * self.plane].fill(0);
        }
    }

    /// Writes one value.
    pub(super) fn set(&self, buffer: &mut Buffer, at: usize, value: f32) {
        match self.kind {
            Kind::Real => buffer.reals[at] = value,
            Kind::Unsigned | Kind::Signed => buffer.bytes[at] = value as i32 as u8,
        }
    }
}

/// The values of a segment; one of the two is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) reals: Vec<f32>,
}
