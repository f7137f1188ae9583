//! Weights at the positions of a transformed tile, and the division of the scratch.
//!
//! Weights are s16, `[36][blocks of output channels][planes][4][channels of the block]`, where the four channels of a plane are in the order
//! 0, 2, 1, 3. x86 reads two channels at once: there, and in scalar code, it is `[planes][2][channels of the block][2]`.

use serde::{Deserialize, Serialize};

use super::super::super::{Blob, Isa, Kernels, Weights};
use super::{CHANNEL_BLOCK, POSITIONS, SIDE, SPAN, transformed};

/// The weights of an int8 3x3, transformed and packed for the kernels of one instruction set, for chunks of some rows of tiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PackedFields")]
pub struct PackedWinogradInt8 {
    isa: Isa,
    planes: usize,
    /// Initial accumulators of each output channel.
    init: Vec<i32>,
    rows: usize,
    columns: usize,
    #[serde(skip)]
    layout: Layout,
    /// Stored apart, see [`Blob`].
    #[serde(skip)]
    weights: Weights<i16>,
    len: usize,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct PackedFields {
    isa: Isa,
    planes: usize,
    init: Vec<i32>,
    rows: usize,
    columns: usize,
    len: usize,
}

impl TryFrom<PackedFields> for PackedWinogradInt8 {
    type Error = &'static str;

    /// Kernels rely on these checks: they read weights and scratch through pointers.
    fn try_from(stored: PackedFields) -> Result<Self, Self::Error> {
        let PackedFields { isa, planes, init, rows, columns, len } = stored;
        let contradiction = "transformed weights that contradict themselves";
        let layout = Layout::new(isa, planes, init.len(), rows, columns).ok_or(contradiction)?;
        let expected = weights_len(planes, init.len());
        if !init.len().is_multiple_of(CHANNEL_BLOCK) || expected != Some(len) {
            return Err(contradiction);
        }
        Ok(Self { isa, planes, init, rows, columns, layout, weights: Weights::default(), len })
    }
}

/// The number of weights; `None` if it exceeds what can be counted.
fn weights_len(planes: usize, outputs: usize) -> Option<usize> {
    outputs.checked_mul(planes)?.checked_mul(POSITIONS * CHANNEL_BLOCK)
}

/// Where the parts of a scratch begin, and their extents, in words of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// Tiles of a block: lanes of a vector.
    pub(super) lanes: usize,
    /// Transformed activations, `[36][blocks][pairs of channels][lanes]`: words from one position to the next.
    pub(super) input_stride: usize,
    /// The first sum: `[36][output channels][blocks][lanes]`.
    pub(super) sums: usize,
    /// Words from one position's sums to the next one's.
    pub(super) sums_stride: usize,
    /// Tiles of all blocks.
    pub(super) tiles: usize,
    /// A row of the image, behind its left padding.
    pub(super) row: usize,
    /// Which pixels of a row's tiles are inside the image: `[6 columns][tiles]`, in whole vectors.
    pub(super) inside: usize,
    /// The first of the planes `[4 rows][6 columns][rows of tiles][columns of tiles]`, each of which has the pixels of all tiles at one place
    /// in the tile; those of its last two rows are in the next row of tiles of the first two.
    pub(super) places: usize,
    /// Pixels from one of those planes to the next.
    pub(super) place: usize,
    /// The rows of results of a plane of output channels, `[4 rows][tiles][4 columns]`, of up to 4 words each.
    pub(super) results: usize,
    /// The length of all.
    len: usize,
}

impl Layout {
    /// `None` if it exceeds what can be counted.
    fn new(isa: Isa, planes: usize, outputs: usize, rows: usize, columns: usize) -> Option<Self> {
        let lanes = PackedWinogradInt8::lanes(isa);
        let tiles = rows.checked_mul(columns)?.checked_next_multiple_of(lanes)?;
        // An odd number of cache lines: positions do not share cache sets.
        let stride = |words: usize| words.checked_next_multiple_of(32)?.checked_add(16);
        let input_stride = stride(planes.checked_mul(2)?.checked_mul(tiles)?)?;
        let sums_stride = stride(outputs.checked_mul(tiles)?)?;
        let sums = input_stride.checked_mul(POSITIONS)?;
        let row = sums.checked_add(sums_stride.checked_mul(POSITIONS)?)?;
        let columns_padded = columns.checked_next_multiple_of(lanes)?;
        // Vectors are read in fours, and the last of a row is read beyond its padding.
        let inside = row.checked_add(stride(SIDE.checked_mul(columns_padded)?.checked_add(2 * lanes)?)?)?;
        let places = inside.checked_add(stride(columns_padded.checked_mul(SPAN)?)?)?;
        let place = stride(tiles.checked_add(columns)?.checked_add(lanes)?)?;
        let results = places.checked_add(place.checked_mul(SIDE * SPAN)?)?;
        let len = results.checked_add(tiles.checked_mul(SIDE * SIDE * CHANNEL_BLOCK)?)?;
        Some(Self { lanes, input_stride, sums, sums_stride, tiles, row, inside, places, place, results, len })
    }
}

/// The order of a plane's channels.
const ORDER: [usize; CHANNEL_BLOCK] = [0, 2, 1, 3];

impl Kernels {
    /// Packs the windows `[outputs][4 * planes]` and initial accumulators `[outputs]` for these kernels, for chunks of at most `rows` rows of
    /// `columns` tiles. `None` if the transformed weights do not fit s16, or if an output's sums might reach 2^25: the algorithm would be wrong.
    ///
    /// # Panics
    /// If output channels are no multiple of 4, if there is not a window for each output and channel, or if sizes exceed what can be counted.
    pub fn pack_winograd_int8(
        self,
        windows: &[[i32; 9]],
        init: &[i32],
        planes: usize,
        [rows, columns]: [usize; 2],
    ) -> Option<PackedWinogradInt8> {
        let (isa, outputs, channels) = (self.isa(), init.len(), CHANNEL_BLOCK * planes);
        assert_eq!(outputs % CHANNEL_BLOCK, 0, "{outputs} output channels are no whole planes");
        assert_eq!(windows.len(), outputs * channels, "windows of {outputs} outputs and {planes} planes");
        let layout = Layout::new(isa, planes, outputs, rows, columns).expect("a scratch that can be counted");
        let len = weights_len(planes, outputs).expect("weights that can be counted");
        if windows.chunks(channels.max(1)).any(|windows| !is_exact(windows)) {
            return None;
        }
        let mut packed = PackedWinogradInt8 {
            isa,
            planes,
            init: init.to_vec(),
            rows,
            columns,
            layout,
            weights: Weights::default(),
            len,
        };
        let mut weights = vec![0; len];
        for (output, channel) in (0..outputs).flat_map(|output| (0..channels).map(move |channel| (output, channel))) {
            for (position, weight) in transformed(&windows[output * channels + channel]).into_iter().enumerate() {
                weights[packed.place(position, output, channel)] = i16::try_from(weight).ok()?;
            }
        }
        packed.weights = weights.into();
        Some(packed)
    }
}

/// Whether no sum of an output channel with these windows reaches 2^25, for activations from 0 to 255.
fn is_exact(windows: &[[i32; 9]]) -> bool {
    let all: u64 = windows.as_flattened().iter().map(|weight| u64::from(weight.unsigned_abs())).sum();
    all.checked_mul(255).is_some_and(|most| most < 1 << 25)
}

impl PackedWinogradInt8 {
    /// Tiles of a block for the kernels of an instruction set: chunks with a multiple of it waste nothing.
    pub fn lanes(isa: Isa) -> usize {
        if isa == Isa::Avx512Vnni { 16 } else { 8 }
    }

    /// Tiles of the shortest part of a block that takes less time than all of it.
    pub fn least_lanes(isa: Isa) -> usize {
        if separate(isa) { Self::lanes(isa) / 2 } else { Self::lanes(isa) }
    }

    /// Whether a convolution with these windows of one output channel is exact.
    pub fn suits(windows: &[[i32; 9]]) -> bool {
        let fits = |window: &[i32; 9]| transformed(window).iter().all(|&weight| i16::try_from(weight).is_ok());
        is_exact(windows) && windows.iter().all(fits)
    }

    /// Planes behind which output channels can be divided, in order, the last one too.
    pub fn cuts(&self) -> impl Iterator<Item = usize> {
        let (planes, unit) = (self.outputs() / CHANNEL_BLOCK, block(self.isa) / CHANNEL_BLOCK);
        (1..=planes).filter(move |&plane| plane == planes || plane.is_multiple_of(unit))
    }

    /// Whether a range of planes can begin or end here.
    pub(super) fn has_cut(&self, plane: usize) -> bool {
        let planes = self.outputs() / CHANNEL_BLOCK;
        plane == planes || plane < planes && plane.is_multiple_of(block(self.isa) / CHANNEL_BLOCK)
    }

    /// Its weights, which are stored apart.
    pub fn blob(&mut self) -> Blob<'_> {
        Blob::Shorts(&mut self.weights, self.len)
    }

    /// The instruction set that it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.init.len()
    }

    /// Number of planes that it convolves.
    pub fn planes(&self) -> usize {
        self.planes
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
        self.len
    }

    pub(super) fn assert_complete(&self) {
        assert_eq!(self.weights.len(), self.len, "weights are complete");
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn init(&self) -> &[i32] {
        &self.init
    }

    pub(super) fn weights(&self) -> &[i16] {
        &self.weights
    }

    /// The index of a weight.
    pub(super) fn place(&self, position: usize, output: usize, channel: usize) -> usize {
        let (outputs, channels) = (self.outputs(), CHANNEL_BLOCK * self.planes);
        let width = block(self.isa);
        let first = output / width * width;
        let width = width.min(outputs - first);
        let (o, c) = (output - first, CHANNEL_BLOCK * (channel / CHANNEL_BLOCK) + ORDER[channel % CHANNEL_BLOCK]);
        let at = if separate(self.isa) { c * width + o } else { 2 * (c / 2 * width + o) + c % 2 };
        (position * outputs + first) * channels + at
    }

    /// The index of a transformed activation in the scratch, in halves of words.
    pub(super) fn place_of_tile(&self, position: usize, channel: usize, tile: usize) -> usize {
        let Layout { lanes, input_stride, .. } = self.layout;
        let c = CHANNEL_BLOCK * (channel / CHANNEL_BLOCK) + ORDER[channel % CHANNEL_BLOCK];
        let word = position * input_stride + (tile / lanes * 2 * self.planes + c / 2) * lanes;
        let lane = tile % lanes;
        2 * word + if separate(self.isa) { c % 2 * lanes + lane } else { 2 * lane + c % 2 }
    }

    /// The transformed tiles of some planes, without padding.
    #[cfg(feature = "check-kernels")]
    pub(super) fn transformed(&self, scratch: &[i32], planes: std::ops::Range<usize>, rows: usize) -> Vec<i16> {
        let halves: &[i16] = bytemuck::cast_slice(scratch);
        let channels = CHANNEL_BLOCK * planes.start..CHANNEL_BLOCK * planes.end;
        let of = |channel| (0..rows * self.columns).map(move |tile| (channel, tile));
        channels
            .flat_map(of)
            .flat_map(|(channel, tile)| (0..POSITIONS).map(move |position| (position, channel, tile)))
            .map(|(position, channel, tile)| halves[self.place_of_tile(position, channel, tile)])
            .collect()
    }
}

/// Output channels of a block; the last may have four.
pub(super) fn block(isa: Isa) -> usize {
    if isa == Isa::Avx2 { 4 } else { 8 }
}

/// Whether the channels of a pair are apart, eight tiles or output channels each, and not beside each other.
fn separate(isa: Isa) -> bool {
    matches!(isa, Isa::Neon | Isa::Dotprod | Isa::I8mm)
}
