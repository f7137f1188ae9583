//! Pools, plane by plane. Where all that is read are codes, so is what is pooled: bytes, or sums of 16 bits.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Site;
use super::check::{self, Checked, Readable, ensure, product, work};
use super::layout::Place;
use super::memory::{Around, Memory, Need, Scratch, Sources, own};
use super::reads::{Readings, is_signed, laned, reader};
use super::segments::{Kind, steps};
use crate::kernels::{BLOCK, Chunks, Codes, Kernels, PlanesMut, Read, ReadReal, Reader, RealReader, Source};
use crate::model::fused::{Layer, Op, Shape, Window};
use crate::quant::Step;

/// A pool, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    readings: Readings,
    way: Way,
    sink: Sink,
    window: Window,
    from: Shape,
    to: Place,
    shape: Shape,
    planes: usize,
    /// Rows of results of a part.
    rows: usize,
}

/// What is pooled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Way {
    /// The greatest of codes.
    GreatestCode,
    /// Sums of codes, each too high by a number.
    SumOfCodes(f32),
    /// The greatest of real numbers.
    Greatest,
    /// Sums of real numbers.
    Sum,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Sink {
    /// Codes, of codes.
    Codes(Reader),
    /// Codes, of real numbers.
    Rounded(RealReader, Codes),
    /// Real numbers.
    Real(RealReader),
}

/// Values of a plane's part that may be near at once.
const NEAR: usize = 8 * 1024;

impl Pool {
    /// The pool of a layer that writes the segment `to`.
    pub(super) fn new(site: Site<'_>, layer: &Layer, to: usize) -> Self {
        let (Op::MaxPool(window) | Op::SumPool(window)) = &layer.op else { unreachable!("the caller looked at it") };
        let (segment, from) = (&site.segments[to], site.network.input_shape(layer));
        let write: Vec<Step> = layer.write.iter().map(|step| laned(step, segment)).collect();
        let real = RealReader::new(4 * segment.planes, &write);
        let greatest = matches!(layer.op, Op::MaxPool(_));
        let codes = match (greatest, read_form(site, layer), segment.kind) {
            (true, Some(form), Kind::Codes(to)) => reader(&write, 4 * segment.planes, form, to).map(Sink::Codes),
            _ => None,
        };
        let high = sums_fit(window).then(|| read_form(site, layer)).flatten().and_then(|form| match form {
            Codes::ActivationSigned if window.padding != [0; 4] => None,
            Codes::ActivationSigned => Some(128.0 * window.len() as f32),
            _ => Some(0.0),
        });
        let way = match (greatest, &codes, high) {
            (true, Some(_), _) => Way::GreatestCode,
            (true, None, _) => Way::Greatest,
            (false, _, Some(high)) => Way::SumOfCodes(high),
            (false, _, None) => Way::Sum,
        };
        let sink = codes.unwrap_or(match segment.kind {
            Kind::Codes(codes) => Sink::Rounded(real, codes),
            Kind::Real => Sink::Real(real),
        });
        let readings = match way {
            Way::GreatestCode | Way::SumOfCodes(_) => Readings::codes(&layer.reads, site.segments, site.places),
            Way::Greatest | Way::Sum => Readings::real(&layer.reads, site.segments, site.places),
        };
        let rows = rows_of_part(window, from, layer.output);
        let (to, planes) = (site.places[to], segment.planes);
        Self { readings, way, sink, window: *window, from, to, shape: layer.output, planes, rows }
    }

    /// Whether it can be run in `room`; about how many multiply-adds it takes.
    pub(super) fn check(&self, room: (usize, usize)) -> Checked<u64> {
        let Self { readings, way, sink, window, from, to, shape, planes, rows } = self;
        check::window(window, *from, *shape)?;
        let real = matches!(sink, Sink::Real(_));
        to.check(if real { room.1 } else { room.0 }, *shape)?;
        ensure(to.planes == *planes && shape.channels <= 4 * planes, "planes of other results")?;
        let memory = Readable::all(room).but(real, to.range());
        let of_real = matches!(way, Way::Greatest | Way::Sum);
        // Of the last row read the last block may reach behind the picture.
        let read = readings.check(&memory, of_real, from.area() + BLOCK - 1)?;
        ensure(read == *planes, "a pool of other planes")?;
        ensure(!matches!(way, Way::SumOfCodes(_)) || sums_fit(window), "sums that do not fit 16 bits")?;
        let (has, steps, takes_codes) = match sink {
            Sink::Codes(reader) => (reader.planes(), reader.steps(), true),
            Sink::Rounded(reader, _) | Sink::Real(reader) => (reader.planes(), reader.steps(), false),
        };
        ensure(has == *planes && takes_codes == (*way == Way::GreatestCode), "steps of other results")?;
        product(&[8, from.width, window.stride[0]])?;
        ensure(*rows == rows_of_part(window, *from, *shape), "parts that are no rows of the picture")?;
        product(&[*rows, window.stride[0]])?;
        product(&[4, rows + BLOCK, shape.width + BLOCK])?;
        let parts = shape.height.div_ceil(*rows);
        let again = parts.saturating_mul((rows - 1) * window.stride[0] + window.kernel[0]).saturating_mul(from.width);
        let down = work(&[4, *planes, shape.height, from.width, window.kernel[0] + window.kernel[1]]);
        let across = work(&[4, *planes, shape.height, shape.width, window.kernel[1] + steps]);
        Ok(down.saturating_add(across).saturating_add(readings.work(again)))
    }

    /// Scratch that a thread needs.
    pub(super) fn need(&self) -> Need {
        let rows = (self.rows - 1) * self.window.stride[0] + self.window.kernel[0];
        let read = 4 * (rows.min(self.from.height) * self.from.width).next_multiple_of(BLOCK);
        let (row, out) = (8 * self.from.width, 4 * self.chunk());
        match self.way {
            Way::GreatestCode => Need { codes: read, raw_codes: row, spare_codes: out, ..Need::default() },
            Way::SumOfCodes(_) => {
                Need { codes: read, raw_shorts: row, shorts: out, spare_reals: out, ..Need::default() }
            }
            Way::Greatest | Way::Sum => Need { reals: read, raw_reals: row, spare_reals: out, ..Need::default() },
        }
    }

    fn chunk(&self) -> usize {
        (self.rows * self.shape.width).next_multiple_of(BLOCK)
    }

    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory) {
        let Memory { kernels, bytes, reals, scratches, team, .. } = memory;
        let kernels = *kernels;
        let (bytes, reals) = (bytes.values(), reals.values());
        let Place { pitch, lead, .. } = self.to;
        let end = 4 * self.shape.area().next_multiple_of(BLOCK);
        if let Sink::Real(reader) = &self.sink {
            let (out, around) = Around::split(reals, self.to.range());
            let sources = Sources { bytes: Around::whole(bytes), reals: around };
            let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], self.planes, pitch, end), 4 * self.chunk());
            team.run(&|member| {
                let mut scratch = own(scratches, member);
                while let Some((begin, mut part)) = chunks.take() {
                    for plane in 0..self.planes {
                        let what = self.pooled(kernels, sources, begin, part.len(), plane, &mut scratch);
                        kernels.read_real(reader, &what, &mut part.only(plane));
                    }
                }
            });
            return;
        }
        let (out, around) = Around::split(bytes, self.to.range());
        let sources = Sources { bytes: around, reals: Around::whole(reals) };
        let chunks = Chunks::new(PlanesMut::new(&mut out[lead..], self.planes, pitch, end), 4 * self.chunk());
        team.run(&|member| {
            let mut scratch = own(scratches, member);
            while let Some((begin, mut part)) = chunks.take() {
                for plane in 0..self.planes {
                    let len = part.len();
                    match &self.sink {
                        Sink::Codes(reader) => {
                            let what = self.pooled_codes(kernels, sources, begin, len, plane, &mut scratch);
                            kernels.read(reader, &what, &mut part.only(plane));
                        }
                        Sink::Rounded(reader, codes) => {
                            let what = self.pooled(kernels, sources, begin, len, plane, &mut scratch);
                            kernels.read_rounded(reader, &what, *codes, &mut part.only(plane));
                        }
                        Sink::Real(_) => unreachable!("it has returned"),
                    }
                }
            }
        });
    }

    /// The rows of results of a part; the first row that their windows see, and pixels of all those rows, as whole blocks.
    fn rows(&self, begin: usize, len: usize) -> (Range<usize>, usize, usize) {
        let first = begin / 4 / self.shape.width;
        let rows = first..(first + len / 4 / self.shape.width).min(self.shape.height);
        let Window { kernel, stride, padding, .. } = self.window;
        let above = under(rows.start, stride[0], kernel[0], padding[0], self.from.height).start;
        let below = under(rows.end - 1, stride[0], kernel[0], padding[0], self.from.height).end.max(above);
        (rows, above, ((below - above) * self.from.width).next_multiple_of(BLOCK))
    }

    /// The greatest codes of a plane's part.
    fn pooled_codes<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        plane: usize,
        scratch: &'a mut Scratch,
    ) -> Read<'a> {
        let Scratch { codes, raw_codes, spare_codes, .. } = scratch;
        let (codes, row, out) = (codes.values(), raw_codes.values(), &mut spare_codes.values()[..len]);
        let (rows, above, pixels) = self.rows(begin, len);
        let (part, planes) = ((above * self.from.width, pixels), plane..plane + 1);
        self.readings.read_codes(kernels, sources, part, planes.clone(), codes, 4 * pixels);
        // Shifted or not, bytes are in the order of their codes once this is undone.
        if kernels.shifted() {
            let greatest = |a: u8, b: u8| (a as i8).max(b as i8) as u8;
            kernels.wide(
                #[inline(always)]
                || self.pool((&*codes, above), rows, out, row, |code| code, greatest),
            );
        } else {
            kernels.wide(
                #[inline(always)]
                || self.pool((&*codes, above), rows, out, row, |code| code, u8::max),
            );
        }
        Read { input: out, pitch: len, planes, pixels: len / 4 }
    }

    /// A plane's part, pooled, as real numbers.
    fn pooled<'a>(
        &self,
        kernels: Kernels,
        sources: Sources<'_>,
        begin: usize,
        len: usize,
        plane: usize,
        scratch: &'a mut Scratch,
    ) -> ReadReal<'a> {
        let (rows, above, pixels) = self.rows(begin, len);
        let (part, planes) = ((above * self.from.width, pixels), plane..plane + 1);
        let out = &mut scratch.spare_reals.values()[..len];
        if let Way::SumOfCodes(high) = self.way {
            let (codes, row, sums) =
                (scratch.codes.values(), scratch.raw_shorts.values(), &mut scratch.shorts.values()[..len]);
            self.readings.read_codes(kernels, sources, part, planes.clone(), codes, 4 * pixels);
            let flip = if kernels.shifted() { 0x80 } else { 0 };
            kernels.wide(
                #[inline(always)]
                || {
                    self.pool((&*codes, above), rows, sums, row, |code: u8| u16::from(code ^ flip), |a, b| a + b);
                    out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out = f32::from(*sum) - high);
                },
            );
        } else {
            let (reals, row) = (scratch.reals.values(), scratch.raw_reals.values());
            self.readings.read_real(kernels, sources, part, planes.clone(), reals, 4 * pixels);
            let same = |value: f32| value;
            if self.way == Way::Greatest {
                kernels.wide(
                    #[inline(always)]
                    || self.pool((&*reals, above), rows, out, row, same, f32::max),
                );
            } else {
                kernels.wide(
                    #[inline(always)]
                    || self.pool((&*reals, above), rows, out, row, same, |a, b| a + b),
                );
            }
        }
        ReadReal { input: Source::Real(out), pitch: len, planes, pixels: len / 4 }
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

/// Rows of results of a part: parts end with a block.
fn rows_of_part(window: &Window, from: Shape, to: Shape) -> usize {
    let unit = (1..=BLOCK).find(|rows| (rows * to.width).is_multiple_of(BLOCK)).unwrap_or(BLOCK);
    let most = NEAR / (4 * from.width * window.stride[0]);
    (most / unit * unit).clamp(unit, to.height.next_multiple_of(unit)).min(to.height)
}

/// What a window at `place` sees of a side, without padding.
fn under(place: usize, stride: usize, kernel: usize, before: usize, side: usize) -> Range<usize> {
    let start = place * stride;
    let end = (start + kernel).saturating_sub(before).min(side);
    start.saturating_sub(before).min(end)..end
}

/// Whether sums of codes under a window fit 16 bits.
fn sums_fit(window: &Window) -> bool {
    window.len() * 255 <= usize::from(u16::MAX)
}

/// The form of the codes that a pool reads, if all of them have the same.
fn read_form(site: Site<'_>, layer: &Layer) -> Option<Codes> {
    let codes = layer.reads.iter().all(|read| match steps(read, site.segments).last() {
        Some(step) => step.gives_bytes(),
        None => matches!(site.segments[read.segment].kind, Kind::Codes(_)),
    });
    let signed = layer.reads.iter().filter(|read| is_signed(read, site.segments)).count();
    match signed {
        _ if !codes => None,
        0 => Some(Codes::Activation),
        n if n == layer.reads.len() => Some(Codes::ActivationSigned),
        _ => None,
    }
}
