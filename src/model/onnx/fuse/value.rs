//! What is known of a tensor while a graph is walked: which segments it consists of, and what was done to each.

use tract_onnx::pb::tensor_proto::DataType;

use super::super::super::fused::{Chain, Shape};
use crate::quant::Function;

/// A segment with what was done to it since it was written.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Number of the segment's source, in the order they were met.
    pub(super) source: usize,
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
    /// Region of its sources; see [`super::walk`].
    pub(super) region: usize,
    /// Its type in the file: `Float`, or of quantized values, which are f32 within a network, `Uint8` or `Int8`.
    pub(super) kind: DataType,
}

impl Value {
    pub(super) fn dims(&self) -> Vec<usize> {
        if self.flat {
            vec![1, self.shape.len()]
        } else {
            vec![1, self.shape.channels, self.shape.height, self.shape.width]
        }
    }

    /// `value * mul + add`, one number for each channel.
    pub(super) fn affine(&mut self, mul: &[f64], add: &[f64]) {
        self.each(|chain, at| chain.affine(&mul[at.clone()], &add[at]));
    }

    pub(super) fn function(&mut self, function: &Function) {
        self.each(|chain, _| chain.function(function.clone()));
    }

    /// The product of two values that are functions of the same one.
    pub(super) fn product(&self, other: &Self) -> Option<Self> {
        let alike = (self.shape, self.flat, self.region, self.pieces.len())
            == (other.shape, other.flat, other.region, other.pieces.len());
        let product = |(a, b): (&Piece, &Piece)| {
            (a.source == b.source).then(|| a.chain.product(&b.chain))?.map(|chain| Piece { source: a.source, chain })
        };
        let pieces: Option<Vec<Piece>> = self.pieces.iter().zip(&other.pieces).map(product).collect();
        pieces.filter(|_| alike).map(|pieces| Self { pieces, ..self.clone() })
    }

    pub(super) fn bound(&mut self, low: f64, high: f64) {
        self.each(|chain, _| chain.bound(low, high));
    }

    pub(super) fn quantize(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.each(|chain, at| chain.quantize(&scale[at.clone()], &zero_point[at], low, high));
    }

    pub(super) fn quantize_with_zero_point(&mut self, scale: &[f64], zero_point: &[f64], low: f64, high: f64) {
        self.each(|chain, at| chain.quantize_with_zero_point(&scale[at.clone()], &zero_point[at], low, high));
    }

    pub(super) fn dequantize(&mut self, scale: &[f64], zero_point: &[f64]) {
        self.each(|chain, at| chain.dequantize(&scale[at.clone()], &zero_point[at]));
    }

    /// `value * mul + add` of quantized values, or of sums of them.
    pub(super) fn decode(&mut self, mul: &[f64], add: &[f64]) {
        self.each(|chain, at| chain.decode(&mul[at.clone()], &add[at]));
    }

    /// Does something to each piece, which holds the channels `at`.
    fn each(&mut self, mut change: impl FnMut(&mut Chain, std::ops::Range<usize>)) {
        let mut start = 0;
        for piece in &mut self.pieces {
            let end = start + piece.chain.channels();
            change(&mut piece.chain, start..end);
            start = end;
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
        let pieces =
            pieces.map(|(piece, (chain, _))| Piece { source: piece.source, chain: chain.shifted(shift) }).collect();
        Some((pieces, scale, zero_point + shift))
    }
}
