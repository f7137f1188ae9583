//! What is known of a tensor while a graph is walked: which segments it consists of, and what was done to each.

use tract_onnx::pb::tensor_proto::DataType;

use super::super::super::fused::{Chain, Shape};
use super::not_fused::NotFused;
use crate::quant::Function;

/// Channels of a segment, with what was done to it since it was written.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Number of the segment's source, in the order they were met.
    pub(super) source: usize,
    /// Which of its channels, in this order; empty for all.
    pub(super) channels: Vec<usize>,
    /// Over all channels of the segment.
    pub(super) chain: Chain,
}

/// A tensor of batch 1: pieces one behind the other.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) pieces: Vec<Piece>,
    /// Its planes.
    pub(super) shape: Shape,
    /// Whether it has rank 2, `[1, values]`, and not 4.
    pub(super) flat: bool,
    /// Set if it has rank 5, `[1, groups, channels of each, height, width]`.
    pub(super) groups: Option<usize>,
    /// Region of its sources; see [`super::walk`].
    pub(super) region: usize,
    /// Its type in the file: `Float`, or of quantized values, which are f32 within a network, `Uint8` or `Int8`.
    pub(super) kind: DataType,
}

/// Most channels of all segments that what is picked belongs to, counted again for each piece: pieces keep numbers for all of them.
pub(super) const MOST_CHANNELS: usize = 1 << 20;

impl Piece {
    /// All channels of a source.
    pub(super) fn all(source: usize, channels: usize) -> Self {
        Self { source, channels: Vec::new(), chain: Chain::new(channels) }
    }

    /// Number of channels.
    pub(super) fn len(&self) -> usize {
        if self.channels.is_empty() { self.chain.channels() } else { self.channels.len() }
    }

    /// The channel of the segment that is number `at`.
    pub(super) fn channel(&self, at: usize) -> usize {
        self.channels.get(at).copied().unwrap_or(at)
    }

    /// Says of all channels in order that they are all.
    pub(super) fn normalize(&mut self) {
        if self.channels.iter().copied().eq(0..self.chain.channels()) {
            self.channels.clear();
        }
    }

    /// The numbers of its channels as numbers of all channels of the segment; those that are not read have the first one's.
    fn spread(&self, numbers: &[f64]) -> Vec<f64> {
        let (true, Some(&first)) = (!self.channels.is_empty(), numbers.first()) else { return numbers.to_vec() };
        let mut spread = vec![first; self.chain.channels()];
        self.channels.iter().zip(numbers).for_each(|(&channel, &number)| spread[channel] = number);
        spread
    }
}

impl Value {
    pub(super) fn dims(&self) -> Vec<usize> {
        let Shape { channels, height, width } = self.shape;
        match self.groups {
            _ if self.flat => vec![1, self.shape.len()],
            Some(groups) => vec![1, groups, channels / groups, height, width],
            None => vec![1, channels, height, width],
        }
    }

    /// What it counts as channels: its own, and an eighth of those of its segments that its pieces keep numbers for besides.
    pub(super) fn kept(&self) -> u64 {
        let all: u64 = self.pieces.iter().map(|piece| piece.chain.channels() as u64).sum();
        let own = self.shape.channels as u64;
        own + all.saturating_sub(own) / 8
    }

    /// Some of its channels, in this order.
    pub(super) fn select(&self, channels: &[usize]) -> Result<Self, NotFused> {
        if self.flat && self.shape.area() > 1 {
            return Err(NotFused::Form("it picks values of what was flattened"));
        }
        let places: Vec<(usize, usize)> = self
            .pieces
            .iter()
            .enumerate()
            .flat_map(|(piece, p)| (0..p.len()).map(move |at| (piece, p.channel(at))))
            .collect();
        let mut pieces: Vec<(usize, Piece)> = Vec::new();
        let mut numbers = 0_usize;
        for &channel in channels {
            let &(number, channel) =
                places.get(channel).ok_or_else(|| NotFused::extents("it picks a channel that is not there"))?;
            // What is picked twice is read twice.
            match pieces.last_mut() {
                Some((last, piece)) if *last == number && !piece.channels.contains(&channel) => {
                    piece.channels.push(channel);
                }
                _ => {
                    numbers = numbers.saturating_add(self.pieces[number].chain.channels());
                    if numbers > MOST_CHANNELS {
                        return Err(NotFused::TooMuch("what it picks is in too many pieces"));
                    }
                    pieces.push((number, Piece { channels: vec![channel], ..self.pieces[number].clone() }));
                }
            }
        }
        if pieces.is_empty() {
            return Err(NotFused::Form("it picks nothing"));
        }
        let mut pieces: Vec<Piece> = pieces.into_iter().map(|(_, piece)| piece).collect();
        pieces.iter_mut().for_each(Piece::normalize);
        Ok(Self { pieces, shape: Shape { channels: channels.len(), ..self.shape }, ..self.clone() })
    }

    /// `value * mul + add`, one number for each channel.
    pub(super) fn affine(&mut self, mul: &[f64], add: &[f64]) {
        self.each([mul, add], |chain, [mul, add]| chain.affine(&mul, &add));
    }

    pub(super) fn function(&mut self, function: &Function) {
        self.each([], |chain, []| chain.function(function.clone()));
    }

    /// The product of two values that are functions of the same one.
    pub(super) fn product(&self, other: &Self) -> Option<Self> {
        let alike = (self.shape, self.flat, self.region, self.pieces.len())
            == (other.shape, other.flat, other.region, other.pieces.len());
        let product = |(a, b): (&Piece, &Piece)| {
            let same = a.source == b.source && a.channels == b.channels;
            same.then(|| a.chain.product(&b.chain))?.map(|chain| Piece { chain, ..a.clone() })
        };
        let pieces: Option<Vec<Piece>> = self.pieces.iter().zip(&other.pieces).map(product).collect();
        pieces.filter(|_| alike).map(|pieces| Self { pieces, ..self.clone() })
    }

    pub(super) fn bound(&mut self, low: f64, high: f64) {
        self.each([], |chain, []| chain.bound(low, high));
    }

    pub(super) fn quantize(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.each([scale, zero_point], |chain, [scale, zero]| chain.quantize(&scale, &zero, low, high));
    }

    pub(super) fn quantize_with_zero_point(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.each([scale, zero_point], |chain, [scale, zero]| chain.quantize_with_zero_point(&scale, &zero, low, high));
    }

    pub(super) fn dequantize(&mut self, scale: &[f64], zero_point: &[f64]) {
        self.each([scale, zero_point], |chain, [scale, zero]| chain.dequantize(&scale, &zero));
    }

    /// `value * mul + add` of quantized values, or of sums of them.
    pub(super) fn decode(&mut self, mul: &[f64], add: &[f64]) {
        self.each([mul, add], |chain, [mul, add]| chain.decode(&mul, &add));
    }

    /// Does something to each piece, with its part of some numbers, of which there is one for each channel.
    fn each<const N: usize>(&mut self, numbers: [&[f64]; N], mut change: impl FnMut(&mut Chain, [Vec<f64>; N])) {
        let mut start = 0;
        for piece in &mut self.pieces {
            let at = start..start + piece.len();
            start = at.end;
            let numbers = numbers.map(|numbers| piece.spread(&numbers[at.clone()]));
            change(&mut piece.chain, numbers);
        }
    }

    /// If all values are decoded quantized values of one scale and zero point: the pieces up to the quantized values, which are moved so
    /// that they fit u8 and, behind a ReLU, 0 is 0; and scale and zero point.
    pub(super) fn qvalues(&self) -> Option<(Vec<Piece>, f32, i32)> {
        let decoded: Vec<_> = self.pieces.iter().map(|piece| piece.chain.qvalues()).collect::<Option<_>>()?;
        let (_, first) = decoded.first()?;
        let (scale, zero_point) = (first.scale, first.zero_point);
        let alike = decoded.iter().all(|(_, e)| (e.scale, e.zero_point) == (scale, zero_point));
        let low = decoded.iter().map(|(_, e)| e.low).min()?;
        let high = decoded.iter().map(|(_, e)| e.high).max()?;
        let shift = if low == zero_point {
            -zero_point
        } else if low < 0 {
            128
        } else {
            0
        };
        if !alike || low + shift < 0 || high + shift > 255 {
            return None;
        }
        let pieces = self.pieces.iter().zip(decoded);
        let pieces = pieces.map(|(piece, (chain, _))| Piece { chain: chain.shifted(shift), ..piece.clone() }).collect();
        Some((pieces, scale, zero_point + shift))
    }
}
