//! Pools, plane by plane: maxima of quantized values, sums of quantized values in 16 bits, and both of f32 values.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{Checked, Readable, ensure, work};
use super::gather::Gather;
use super::layer_info::LayerInfo;
use super::lowering::Lowering;
use super::memory::{ScratchSize, TileScratch};
use super::operator::{Compute, Operator, Tile, Tiling};
use super::pool_window::PoolWindow;
use super::prologue::Element;
use crate::kernels::{Kernels, PlanesMut, QuantType};
use crate::model::fused::{Border, Layer, OpKind, Window};

/// The input and the windows of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Pool<T: Element> {
    gather: Gather<T>,
    window: PoolWindow,
}

/// The instructions that reading a pixel of a plane takes, about.
const PIXEL_COST: usize = 8;

/// A max pool of quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MaxPool(Pool<u8>);

/// Sums of quantized values, each stored as a u8 that is `excess` too high.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SumPool {
    pool: Pool<u8>,
    excess: f32,
}

/// A max or sum pool of f32 values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PoolF32 {
    pool: Pool<f32>,
    reduction: Reduction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reduction {
    Max,
    Sum,
}

impl MaxPool {
    pub(super) fn new(pool: Pool<u8>) -> Self {
        Self(pool)
    }
}

impl SumPool {
    /// Sums of quantized values of type `form`; `None` if they do not fit 16 bits, or padding is not 0 or is absent.
    pub(super) fn new(pool: Pool<u8>, form: QuantType) -> Option<Self> {
        let window = *pool.window.window();
        let excess = match form {
            _ if window.border == Border::Absent => return None,
            QuantType::ActivationSigned if window.padding != [0; 4] => return None,
            QuantType::ActivationSigned => 128.0 * window.len() as f32,
            _ => 0.0,
        };
        sums_fit(&window).then_some(Self { pool, excess })
    }

    /// Pixels of a tile.
    pub(super) fn tile_len(&self) -> usize {
        self.pool.tile_len()
    }
}

impl PoolF32 {
    pub(super) fn new(pool: Pool<f32>, reduction: Reduction) -> Self {
        Self { pool, reduction }
    }
}

/// Whether sums of quantized values under a window fit 16 bits.
fn sums_fit(window: &Window) -> bool {
    window.len() * 255 <= usize::from(u16::MAX)
}

impl<T: Element> Pool<T> {
    /// The pool of a layer.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, window: &Window) -> Self {
        let gather = Gather::new(&layer.reads, lowering.segments, lowering.places);
        Self { gather, window: PoolWindow::new(*window, lowering.network.input_shape(layer), layer.output) }
    }

    /// Pixels of a tile.
    pub(super) fn tile_len(&self) -> usize {
        self.window.tile_len()
    }

    fn check(&self, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let Self { gather, window } = self;
        window.check(tiling)?;
        let planes = gather.check(memory, window.pixels_read())?;
        ensure(tiling.shape.channels <= 4 * planes, "planes of other results")?;
        let (work, read) = window.work(planes);
        Ok(work.saturating_add(gather.work(read)))
    }

    /// About how many instructions it takes for so many planes of a tile.
    fn cost(&self, tiling: &Tiling, pixels: usize, planes: usize) -> u64 {
        let (reduced, read) = self.window.work(planes);
        let all = reduced.saturating_add(work(&[PIXEL_COST, planes, read]));
        all.saturating_mul(pixels as u64) / tiling.shape.area().max(pixels) as u64
    }

    /// Reads the part of the planes that is under the windows of a tile.
    fn read(&self, tile: Tile<'_>, seen: (usize, usize), planes: Range<usize>, out: &mut [T]) {
        self.gather.read(tile.kernels, tile.sources, seen, planes, out, 4 * seen.1);
    }
}

impl Operator for MaxPool {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::MaxPool && info.macs == 0
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        self.0.check(memory, tiling)
    }

    fn planes(&self) -> usize {
        self.0.gather.planes()
    }

    fn planes_at_once(&self) -> usize {
        1
    }

    fn cost(&self, _: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.0.cost(tiling, pixels, planes.len())
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        let [qvalues, raw_qvalues, _] = self.0.window.scratch();
        ScratchSize { qvalues, raw_qvalues, ..ScratchSize::default() }
    }
}

impl Compute<u8> for MaxPool {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, u8>) {
        let (values, buffer) = u8::scratch(scratch);
        let Pool { window, .. } = &self.0;
        let (rows, out) = (window.rows(&tile), out.plane(0));
        self.0.read(tile, rows.seen, planes, values);
        // Shifted or not, bytes are in the order of their quantized values once this is undone.
        if tile.kernels.shifted() {
            let greatest = |a: u8, b: u8| (a as i8).max(b as i8) as u8;
            tile.kernels.vectorize(
                #[inline(always)]
                || window.reduce(rows, values, out, buffer, |qvalue| qvalue, greatest),
            );
        } else {
            tile.kernels.vectorize(
                #[inline(always)]
                || window.reduce(rows, values, out, buffer, |qvalue| qvalue, u8::max),
            );
        }
    }
}

impl Operator for SumPool {
    fn is(&self, info: &LayerInfo) -> bool {
        info.op == OpKind::SumPool && info.macs == 0
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        let work = self.pool.check(memory, tiling)?;
        ensure(sums_fit(self.pool.window.window()), "sums that do not fit 16 bits")?;
        Ok(work)
    }

    fn planes(&self) -> usize {
        self.pool.gather.planes()
    }

    fn planes_at_once(&self) -> usize {
        1
    }

    fn cost(&self, _: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.pool.cost(tiling, pixels, planes.len())
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        let [qvalues, raw_shorts, shorts] = self.pool.window.scratch();
        ScratchSize { qvalues, raw_shorts, shorts, ..ScratchSize::default() }
    }
}

impl Compute<f32> for SumPool {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Self { pool, excess } = self;
        let (values, buffer) = (scratch.qvalues.values(), scratch.raw_shorts.values());
        let (rows, out) = (pool.window.rows(&tile), out.plane(0));
        let sums = &mut scratch.shorts.values()[..out.len()];
        pool.read(tile, rows.seen, planes, values);
        let flip = if tile.kernels.shifted() { 0x80 } else { 0 };
        tile.kernels.vectorize(
            #[inline(always)]
            || {
                pool.window.reduce(rows, values, sums, buffer, |qvalue: u8| u16::from(qvalue ^ flip), |a, b| a + b);
                out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = f32::from(*sum) - excess);
            },
        );
    }
}

impl Operator for PoolF32 {
    fn is(&self, info: &LayerInfo) -> bool {
        let op = match self.reduction {
            Reduction::Max => OpKind::MaxPool,
            Reduction::Sum => OpKind::SumPool,
        };
        info.op == op && info.macs == 0
    }

    fn check(&self, _: Kernels, memory: &Readable, tiling: &Tiling) -> Checked<u64> {
        self.pool.check(memory, tiling)
    }

    fn planes(&self) -> usize {
        self.pool.gather.planes()
    }

    fn planes_at_once(&self) -> usize {
        1
    }

    fn cost(&self, _: Kernels, tiling: &Tiling, pixels: usize, planes: Range<usize>) -> u64 {
        self.pool.cost(tiling, pixels, planes.len())
    }

    fn scratch(&self, _: &Tiling) -> ScratchSize {
        let [floats, raw_floats, _] = self.pool.window.scratch();
        ScratchSize { floats, raw_floats, ..ScratchSize::default() }
    }
}

impl Compute<f32> for PoolF32 {
    fn run(&self, tile: Tile<'_>, planes: Range<usize>, scratch: &mut TileScratch, out: &mut PlanesMut<'_, f32>) {
        let Pool { window, gather } = &self.pool;
        let (read, buffer) = f32::scratch(scratch);
        let (rows, out) = (window.rows(&tile), out.plane(0));
        let values = match gather.stored(tile.sources, rows.seen.0, &planes) {
            Some((stored, _)) => stored,
            None => {
                self.pool.read(tile, rows.seen, planes, read);
                &*read
            }
        };
        let same = |value: f32| value;
        match self.reduction {
            Reduction::Max => tile.kernels.vectorize(
                #[inline(always)]
                || window.reduce(rows, values, out, buffer, same, f32::max),
            ),
            Reduction::Sum => {
                tile.kernels.vectorize(
                    #[inline(always)]
                    || window.reduce(rows, values, out, buffer, same, |a, b| a + b),
                );
                window.scale_up(&tile, out);
            }
        }
    }
}
