//! Weights at the positions of a transformed tile, and the division of the scratch.

use serde::{Deserialize, Serialize};

use super::super::{Blob, CHANNEL_BLOCK, Kernels, OUTPUT_BLOCK, PackedF32};
use super::{MOST_PIXELS, SIDE, WINOGRAD_POSITIONS};

/// The weights of a 3x3, transformed and packed, for chunks of some rows of tiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PackedWinogradFields", into = "PackedWinogradFields")]
pub struct PackedWinograd {
    /// The output channels of each position follow those of the one before, each padded to whole blocks.
    packed: PackedF32,
    outputs: usize,
    rows: usize,
    columns: usize,
    layout: Layout,
}

/// The serialized fields.
#[derive(Serialize, Deserialize)]
struct PackedWinogradFields {
    packed: PackedF32,
    outputs: usize,
    rows: usize,
    columns: usize,
}

impl From<PackedWinograd> for PackedWinogradFields {
    fn from(PackedWinograd { packed, outputs, rows, columns, .. }: PackedWinograd) -> Self {
        Self { packed, outputs, rows, columns }
    }
}

impl TryFrom<PackedWinogradFields> for PackedWinograd {
    type Error = &'static str;

    fn try_from(fields: PackedWinogradFields) -> Result<Self, Self::Error> {
        let PackedWinogradFields { packed, outputs, rows, columns } = fields;
        let contradiction = "transformed weights that contradict themselves";
        let padded = outputs.checked_next_multiple_of(OUTPUT_BLOCK).and_then(|one| one.checked_mul(WINOGRAD_POSITIONS));
        if !outputs.is_multiple_of(CHANNEL_BLOCK) || padded != Some(packed.outputs()) {
            return Err(contradiction);
        }
        let layout = Layout::new(packed.steps(), outputs, rows, columns).ok_or(contradiction)?;
        let offsets = offsets(packed.steps(), layout.tiles).ok_or(contradiction)?;
        if packed.offsets() == offsets {
            Ok(Self { packed, outputs, rows, columns, layout })
        } else {
            Err(contradiction)
        }
    }
}

/// Where the parts of a scratch begin, in values: for each position the planes of transformed tiles, for each position the planes of sums, and
/// rows of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Tiles of a chunk, padded.
    tiles: usize,
    /// Values from one position's tiles to the next one's.
    pub(super) input_stride: usize,
    /// The first sum.
    pub(super) sums: usize,
    /// Values from one position's sums to the next one's.
    pub(super) sums_stride: usize,
    /// The first row of pixels.
    pub(super) pixels: usize,
    /// Values from one row of pixels to the next: the columns of all tiles, and of a last vector.
    pub(super) row: usize,
    /// The length of all.
    len: usize,
}

/// Rows of pixels in a scratch: those of a row of tiles, and one of zeros.
const ROWS: usize = super::SPAN + 1;

impl Layout {
    /// `None` if it exceeds what can be counted.
    fn new(planes: usize, outputs: usize, rows: usize, columns: usize) -> Option<Self> {
        let tiles = rows.checked_mul(columns)?.checked_next_multiple_of(MOST_PIXELS)?;
        // Behind the last plane vectors may read and write as many tiles as they hold. An odd number of cache lines: positions do not share
        // cache sets.
        let stride = |channels: usize| {
            let values = channels.checked_mul(tiles)?.checked_add(CHANNEL_BLOCK * MOST_PIXELS)?;
            (values.div_ceil(16) / 2 * 32).checked_add(16)
        };
        let (input_stride, sums_stride) = (stride(planes.checked_mul(CHANNEL_BLOCK)?)?, stride(outputs)?);
        let sums = input_stride.checked_mul(WINOGRAD_POSITIONS)?;
        let pixels = sums_stride.checked_mul(WINOGRAD_POSITIONS)?.checked_add(sums)?;
        let columns = columns.checked_next_multiple_of(MOST_PIXELS)?.checked_mul(SIDE)?;
        let row = columns.checked_add(2 * MOST_PIXELS)?.checked_mul(CHANNEL_BLOCK)?;
        let len = row.checked_mul(ROWS)?.checked_add(pixels)?;
        Some(Self { tiles, input_stride, sums, sums_stride, pixels, row, len })
    }
}

/// The offset of each plane of tiles; `None` if they exceed what a k-step can have.
fn offsets(planes: usize, tiles: usize) -> Option<Vec<u32>> {
    let offset = |plane: usize| u32::try_from(plane.checked_mul(tiles)?.checked_mul(CHANNEL_BLOCK)?).ok();
    (0..planes).map(offset).collect()
}

impl Kernels {
    /// Packs `weights`, `[36][outputs][planes][4]` with the positions of [`winograd_weights`](super::winograd_weights), for input of `planes`
    /// planes, in chunks of at most `rows` rows of `columns` tiles.
    ///
    /// # Panics
    /// If output channels are no multiple of 4, or sizes exceed what can be counted.
    pub fn pack_winograd(self, weights: &[f32], planes: usize, rows: usize, columns: usize) -> PackedWinograd {
        let outputs = weights.len() / (WINOGRAD_POSITIONS * CHANNEL_BLOCK * planes).max(1);
        assert_eq!(weights.len(), WINOGRAD_POSITIONS * CHANNEL_BLOCK * planes * outputs, "weights of {planes} planes");
        assert_eq!(outputs % CHANNEL_BLOCK, 0, "{outputs} output channels are no whole planes");
        let layout = Layout::new(planes, outputs, rows, columns).expect("a scratch that can be counted");
        let offsets = offsets(planes, layout.tiles).expect("offsets that can be counted");
        // Each position's weights begin with a block of their own.
        let position = (CHANNEL_BLOCK * planes * outputs).max(1);
        let padding = CHANNEL_BLOCK * planes * (outputs.next_multiple_of(OUTPUT_BLOCK) - outputs);
        let zeros = || std::iter::repeat_n(&0.0, padding);
        let padded = weights.chunks_exact(position).flat_map(|weights| weights.iter().chain(zeros())).copied();
        let packed = self.pack_f32(&padded.collect::<Vec<_>>(), &offsets);
        PackedWinograd { packed, outputs, rows, columns, layout }
    }
}

impl PackedWinograd {
    /// Its weights, which are stored apart.
    pub fn blob(&mut self) -> Blob<'_> {
        self.packed.blob()
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of planes that it convolves.
    pub fn planes(&self) -> usize {
        self.packed.steps()
    }

    /// The most rows of tiles of a chunk.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Tiles in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Values of scratch that a chunk takes.
    pub fn scratch(&self) -> usize {
        self.layout.len
    }

    /// Number of packed weights.
    pub(crate) fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn weights(&self) -> &[f32] {
        self.packed.weights()
    }

    pub(super) fn offsets(&self) -> &[u32] {
        self.packed.offsets()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Tiles from one plane to the next.
    pub(super) fn tiles(&self) -> usize {
        self.layout.tiles
    }

    /// The tiles of `rows` rows, padded.
    pub(super) fn tiles_of(&self, rows: usize) -> usize {
        (rows * self.columns).next_multiple_of(MOST_PIXELS)
    }

    /// The bits of the transformed tiles of some planes, without padding.
    #[cfg(feature = "check-kernels")]
    pub(super) fn transformed(&self, scratch: &[f32], planes: std::ops::Range<usize>, rows: usize) -> Vec<u32> {
        let plane = |position: usize, plane: usize| {
            let start = position * self.layout.input_stride + plane * CHANNEL_BLOCK * self.layout.tiles;
            scratch[start..][..CHANNEL_BLOCK * rows * self.columns].iter().map(|value| value.to_bits())
        };
        (0..WINOGRAD_POSITIONS)
            .flat_map(|position| planes.clone().flat_map(move |number| plane(position, number)))
            .collect()
    }
}
