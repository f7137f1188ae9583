//! Pools, plane by plane. Where all that is read are quantized values, so is what is pooled: bytes, or sums of 16 bits.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::{self, Checked, Readable, ensure, product, work};
use super::gather::{Gather, chain, is_signed, laned};
use super::lowering::Lowering;
use super::memory::{Memory, Scratch, ScratchSize, Sources, SplitBorrow, own};
use super::memory_plan::Placement;
use super::segments::{Storage, affines};
use crate::kernels::{
    AffineChain, AffineChainF32, ChainInput, ChainInputF32, Kernels, Operand, PIXEL_BLOCK, PlanesMut, QuantType,
    TileQueue,
};
use crate::model::fused::{Layer, Op, Shape, Window};
use crate::quant::Affine;

/// A pool, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PoolTask {
    gather: Gather,
    reduction: Reduction,
    epilogue: PoolEpilogue,
    window: Window,
    from: Shape,
    to: Placement,
    shape: Shape,
    planes: usize,
    /// Rows of results of a tile.
    rows: usize,
}

/// What is pooled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Reduction {
    /// The greatest of quantized values.
    GreatestCode,
    /// Sums of quantized values, each too high by a number.
    SumOfCodes(f32),
    /// The greatest of f32 values.
    Greatest,
    /// Sums of f32 values.
    Sum,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum PoolEpilogue {
    /// Quantized values, of quantized values.
    Quantized(AffineChain),
    /// Quantized values, of f32 values.
    Rounded(AffineChainF32, QuantType),
    /// F32 values.
    F32(AffineChainF32),
}

/// Values of a plane's tile, so that they stay in the cache until they are used.
const CACHED_VALUES: usize = 8 * 1024;

impl PoolTask {
    /// The pool of a layer that writes the segment `to`.
    pub(super) fn new(lowering: Lowering<'_>, layer: &Layer, to: usize) -> Self {
        let (Op::MaxPool(window) | Op::SumPool(window)) = &layer.op else { unreachable!("the caller looked at it") };
        let (segment, from) = (&lowering.segments[to], lowering.network.input_shape(layer));
        let write: Vec<Affine> = layer.epilogue.iter().map(|affine| laned(affine, segment)).collect();
        let real = AffineChainF32::new(4 * segment.planes, &write);
        let greatest = matches!(layer.op, Op::MaxPool(_));
        let qvalues = match (greatest, read_form(lowering, layer), segment.kind) {
            (true, Some(form), Storage::Quantized(to)) => {
                chain(&write, 4 * segment.planes, form, to).map(PoolEpilogue::Quantized)
            }
            _ => None,
        };
        let high = sums_fit(window).then(|| read_form(lowering, layer)).flatten().and_then(|form| match form {
            QuantType::ActivationSigned if window.padding != [0; 4] => None,
            QuantType::ActivationSigned => Some(128.0 * window.len() as f32),
            _ => Some(0.0),
        });
        let reduction = match (greatest, &qvalues, high) {
            (true, Some(_), _) => Reduction::GreatestCode,
            (true, None, _) => Reduction::Greatest,
            (false, _, Some(high)) => Reduction::SumOfCodes(high),
            (false, _, None) => Reduction::Sum,
        };
        let epilogue = qvalues.unwrap_or(match segment.kind {
            Storage::Quantized(qvalues) => PoolEpilogue::Rounded(real, qvalues),
            Storage::F32 => PoolEpilogue::F32(real),
        });
        let gather = match reduction {
            Reduction::GreatestCode | Reduction::SumOfCodes(_) => {
                Gather::qvalues(&layer.reads, lowering.segments, lowering.places)
            }
            Reduction::Greatest | Reduction::Sum => Gather::real(&layer.reads, lowering.segments, lowering.places),
        };
        let rows = rows_of_part(window, from, layer.output);
        let (to, planes) = (lowering.places[to], segment.planes);
        Self { gather, reduction, epilogue, window: *window, from, to, shape: layer.output, planes, rows }
    }

    /// Whether it can be run in `arena`; about how many multiply-adds it takes.
    pub(super) fn check(&self, arena: (usize, usize)) -> Checked<u64> {
        let Self { gather, reduction, epilogue, window, from, to, shape, planes, rows } = self;
        check::window(window, *from, *shape)?;
        let real = matches!(epilogue, PoolEpilogue::F32(_));
        to.check(if real { arena.1 } else { arena.0 }, *shape)?;
        ensure(to.planes == *planes && shape.channels <= 4 * planes, "planes of other results")?;
        let memory = Readable::all(arena).but(real, to.range());
        let of_real = matches!(reduction, Reduction::Greatest | Reduction::Sum);
        // Of the last row read the last block may reach behind the image.
        let read = gather.check(&memory, of_real, from.area() + PIXEL_BLOCK - 1)?;
        ensure(read == *planes, "a pool of other planes")?;
        ensure(!matches!(reduction, Reduction::SumOfCodes(_)) || sums_fit(window), "sums that do not fit 16 bits")?;
        let (has, affines, takes_quantized) = match epilogue {
            PoolEpilogue::Quantized(chain) => (chain.planes(), chain.affines(), true),
            PoolEpilogue::Rounded(chain, _) | PoolEpilogue::F32(chain) => (chain.planes(), chain.affines(), false),
        };
        ensure(
            has == *planes && takes_quantized == (*reduction == Reduction::GreatestCode),
            "affines of other results",
        )?;
        product(&[8, from.width, window.stride[0]])?;
        ensure(*rows == rows_of_part(window, *from, *shape), "tiles that are no rows of the image")?;
        product(&[*rows, window.stride[0]])?;
        product(&[4, rows + PIXEL_BLOCK, shape.width + PIXEL_BLOCK])?;
        let parts = shape.height.div_ceil(*rows);
        let again = parts.saturating_mul((rows - 1) * window.stride[0] + window.kernel[0]).saturating_mul(from.width);
        let down = work(&[4, *planes, shape.height, from.width, window.kernel[0] + window.kernel[1]]);
        let across = work(&[4, *planes, shape.height, shape.width, window.kernel[1] + affines]);
        Ok(down.saturating_add(across).saturating_add(gather.work(again)))
    }

    /// Scratch that a thread needs.
    pub(super) fn scratch(&self) -> ScratchSize {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.kernel[0];
        let read = 4 * (rows.min(self.from.height) * self.from.width).next_multiple_of(PIXEL_BLOCK);
        let (row, out) = (8 * self.from.width, 4 * self.tile_len());
        match self.reduction {
            Reduction::GreatestCode => {
                ScratchSize { qvalues: read, raw_qvalues: row, spare_qvalues: out, ..ScratchSize::default() }
            }
            Reduction::SumOfCodes(_) => {
                ScratchSize { qvalues: read, raw_shorts: row, shorts: out, spare_floats: out, ..ScratchSize::default() }
            }
            Reduction::Greatest | Reduction::Sum => {
                ScratchSize { floats: read, raw_floats: row, spare_floats: out, ..ScratchSize::default() }
            }
        }
    }

    fn tile_len(&self) -> usize {
        (self.rows * self.shape.width).next_multiple_of(PIXEL_BLOCK)
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, floats, scratches, thread_pool, .. } = memory;
        let kernels = *kernels;
        let (bytes, floats) = (bytes.values(), floats.values());
        let Placement { plane_stride, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(PIXEL_BLOCK);
        if let PoolEpilogue::F32(chain) = &self.epilogue {
            let (out, rest) = SplitBorrow::split(floats, self.to.range());
            let sources = Sources { bytes: SplitBorrow::whole(bytes), floats: rest };
            let chunks =
                TileQueue::new(PlanesMut::new(&mut out[lead..], self.planes, plane_stride, end), 4 * self.tile_len());
            thread_pool.run(&|index| {
                let mut scratch = own(scratches, index);
                while let Some((begin, mut part)) = chunks.take() {
                    for plane in 0..self.planes {
                        let operand = self.pooled(kernels, sources, begin, part.len(), plane, &mut scratch);
                        kernels.affine_to_f32(chain, &operand, &mut part.only(plane));
                    }
                }
            });
            return;
        }
        let (out, rest) = SplitBorrow::split(bytes, self.to.range());
        let sources = Sources { bytes: rest, floats: SplitBorrow::whole(floats) };
        let chunks =
            TileQueue::new(PlanesMut::new(&mut out[lead..], self.planes, plane_stride, end), 4 * self.tile_len());
        thread_pool.run(&|index| {
            let mut scratch = own(scratches, index);
            while let Some((begin, mut part)) = chunks.take() {
                for plane in 0..self.planes {
                    let len = part.len();
                    match &self.epilogue {
                        PoolEpilogue::Quantized(chain) => {
                            let operand = self.pooled_quantized(kernels, sources, begin, len, plane, &mut scratch);
                            kernels.affine(chain, &operand, &mut part.only(plane));
                        }
                        PoolEpilogue::Rounded(chain, qvalues) => {
                            let operand = self.pooled(kernels, sources, begin, len, plane, &mut scratch);
                            kernels.affine_to_quantized(chain, &operand, *qvalues, &mut part.only(plane));
                        }
                        PoolEpilogue::F32(_) => unreachable!("it has returned"),
                    }
                }
            }
        });
    }

    /// The rows of results of a tile; the first row that their windows see, and pixels of all those rows, as whole blocks.
    fn rows(&self, begin: usize, len: usize) -> (Range<usize>, usize, usize) {
        let first = begin / 4 / self.shape.width;
        let rows = first..(first + len / 4 / self.shape.width).min(self.shape.height);
        let Window { kernel, stride, padding, .. } = self.window;
        let above = under(rows.start, stride[0], kernel[0], padding[0], self.from.height).start;
        let below = under(rows.end - 1, stride[0], kernel[0], padding[0], self.from.height).end.max(above);
        (rows, above, ((below - above) * self.from.width).next_multiple_of(PIXEL_BLOCK))
    }

    /// The greatest quantized values of a plane's tile.
    fn pooled_quantized<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        plane: usize,
        scratch: &'a mut Scratch,
    ) -> ChainInput<'a> {
        let Scratch { qvalues, raw_qvalues, spare_qvalues, .. } = scratch;
        let (qvalues, row, out) = (qvalues.values(), raw_qvalues.values(), &mut spare_qvalues.values()[..len]);
        let (rows, above, pixels) = self.rows(begin, len);
        let (part, planes) = ((above * self.from.width, pixels), plane..plane + 1);
        self.gather.gather_quantized(kernels, sources, part, planes.clone(), qvalues, 4 * pixels);
        // Shifted or not, bytes are in the order of their quantized values once this is undone.
        if kernels.shifted() {
            let greatest = |a: u8, b: u8| (a as i8).max(b as i8) as u8;
            kernels.vectorize(
                #[inline(always)]
                || self.pool((&*qvalues, above), rows, out, row, |qvalue| qvalue, greatest),
            );
        } else {
            kernels.vectorize(
                #[inline(always)]
                || self.pool((&*qvalues, above), rows, out, row, |qvalue| qvalue, u8::max),
            );
        }
        ChainInput { input: out, plane_stride: len, planes, pixels: len / 4 }
    }

    /// A plane's tile, pooled, as f32 values.
    fn pooled<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        plane: usize,
        scratch: &'a mut Scratch,
    ) -> ChainInputF32<'a> {
        let (rows, above, pixels) = self.rows(begin, len);
        let (part, planes) = ((above * self.from.width, pixels), plane..plane + 1);
        let out = &mut scratch.spare_floats.values()[..len];
        if let Reduction::SumOfCodes(high) = self.reduction {
            let (qvalues, row, sums) =
                (scratch.qvalues.values(), scratch.raw_shorts.values(), &mut scratch.shorts.values()[..len]);
            self.gather.gather_quantized(kernels, sources, part, planes.clone(), qvalues, 4 * pixels);
            let flip = if kernels.shifted() { 0x80 } else { 0 };
            kernels.vectorize(
                #[inline(always)]
                || {
                    self.pool((&*qvalues, above), rows, sums, row, |qvalue: u8| u16::from(qvalue ^ flip), |a, b| a + b);
                    out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = f32::from(*sum) - high);
                },
            );
        } else {
            let (floats, row) = (scratch.floats.values(), scratch.raw_floats.values());
            self.gather.read_real(kernels, sources, part, planes.clone(), floats, 4 * pixels);
            let same = |value: f32| value;
            if self.reduction == Reduction::Greatest {
                kernels.vectorize(
                    #[inline(always)]
                    || self.pool((&*floats, above), rows, out, row, same, f32::max),
                );
            } else {
                kernels.vectorize(
                    #[inline(always)]
                    || self.pool((&*floats, above), rows, out, row, same, |a, b| a + b),
                );
            }
        }
        ChainInputF32 { input: Operand::F32(out), plane_stride: len, planes, pixels: len / 4 }
    }

    /// Pools the rows `wanted` of results; `values` are those of a plane from row `above` on. Under a window, first the values
    /// of each column are put together, then the columns. `buffer` has room for two rows that are read.
    #[inline(always)]
    fn pool<S: Copy, T: Copy + Default>(
        &self,
        (values, above): (&[S], usize),
        wanted: Range<usize>,
        out: &mut [T],
        buffer: &mut [T],
        start: impl Fn(S) -> T,
        reduce: impl Fn(T, T) -> T,
    ) {
        let Window { kernel, stride: [down, right], padding: [top, left, ..] } = self.window;
        let width = 4 * self.from.width;
        let (row, starts) = buffer.split_at_mut(width);
        // Windows that begin at each pixel, as far as they are inside.
        let starts = &mut starts[..(width + 4).saturating_sub(4 * kernel[1])];
        for (y, out) in wanted.zip(out.chunks_exact_mut(4 * self.shape.width)) {
            let mut rows =
                under(y, down, kernel[0], top, self.from.height).map(|y| &values[(y - above) * width..][..width]);
            match rows.next() {
                Some(first) => row.iter_mut().zip(first).for_each(|(sum, value)| *sum = start(*value)),
                None => row.fill(T::default()),
            }
            for other in rows {
                row.iter_mut().zip(other).for_each(|(sum, value)| *sum = reduce(*sum, start(*value)));
            }
            starts.iter_mut().zip(&*row).for_each(|(sum, value)| *sum = *value);
            for column in 1..kernel[1] {
                let others = row.get(4 * column..).unwrap_or_default();
                starts.iter_mut().zip(others).for_each(|(sum, value)| *sum = reduce(*sum, *value));
            }
            let (row, starts) = (row.as_chunks::<4>().0, starts.as_chunks::<4>().0);
            for (column, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let inside = (column * right).checked_sub(left).and_then(|start| starts.get(start));
                *out = match inside {
                    Some(sum) => *sum,
                    None => {
                        let mut columns = row[under(column, right, kernel[1], left, self.from.width)].iter();
                        let first = columns.next().copied().unwrap_or_default();
                        columns.fold(first, |a, b| std::array::from_fn(|i| reduce(a[i], b[i])))
                    }
                };
            }
        }
    }
}

/// Rows of results of a tile: tiles end with a block.
fn rows_of_part(window: &Window, from: Shape, to: Shape) -> usize {
    let unit = (1..=PIXEL_BLOCK).find(|rows| (rows * to.width).is_multiple_of(PIXEL_BLOCK)).unwrap_or(PIXEL_BLOCK);
    let most = CACHED_VALUES / (4 * from.width * window.stride[0]);
    (most / unit * unit).clamp(unit, to.height.next_multiple_of(unit)).min(to.height)
}

/// What a window at `place` sees of a side, without padding.
fn under(place: usize, stride: usize, kernel: usize, before: usize, side: usize) -> Range<usize> {
    let start = place * stride;
    let end = (start + kernel).saturating_sub(before).min(side);
    start.saturating_sub(before).min(end)..end
}

/// Whether sums of quantized values under a window fit 16 bits.
fn sums_fit(window: &Window) -> bool {
    window.len() * 255 <= usize::from(u16::MAX)
}

/// The form of the quantized values that a pool reads, if all of them have the same.
fn read_form(lowering: Lowering<'_>, layer: &Layer) -> Option<QuantType> {
    let qvalues = layer.reads.iter().all(|read| match affines(read, lowering.segments).last() {
        Some(affine) => affine.gives_bytes(),
        None => matches!(lowering.segments[read.segment].kind, Storage::Quantized(_)),
    });
    let signed = layer.reads.iter().filter(|read| is_signed(read, lowering.segments)).count();
    match signed {
        _ if !qvalues => None,
        0 => Some(QuantType::Activation),
        n if n == layer.reads.len() => Some(QuantType::ActivationSigned),
        _ => None,
    }
}
