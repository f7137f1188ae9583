//! Channels in an order in which they are read from few segments.

use super::super::super::fused::Chain;
use super::constants::TensorData;
use super::not_fused::NotFused;
use super::value::{Piece, Value};

/// Most pieces that a convolution reads: beyond, reading them costs more than what is computed of them.
const MOST_READS: usize = 256;
/// Most numbers that are looked at for that.
const MOST_NUMBERS: usize = 1 << 24;

impl Value {
    /// The input of a convolution in groups whose channels were picked from many segments: those of each group segment by segment,
    /// and for each channel its former number. `None` where they are in few pieces as they are.
    pub(super) fn by_segment(&self, groups: usize) -> Result<Option<(Self, Vec<usize>)>, NotFused> {
        let mut sources: Vec<usize> = self.pieces.iter().map(|piece| piece.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let picked = self.pieces.iter().any(|piece| !piece.channels.is_empty());
        if !picked || self.pieces.len() <= groups.saturating_mul(sources.len()) {
            return Ok(None);
        }
        let largest = self.pieces.iter().map(|piece| piece.chain.channels()).max().unwrap_or(0);
        if largest.saturating_mul(self.shape.channels) > MOST_NUMBERS {
            return Err(NotFused::TooMuch("its channels are too many, of too many segments"));
        }
        // Source, channel, the chain that it came with, its number.
        let mut channels: Vec<(usize, usize, &Chain, usize)> = Vec::new();
        for piece in &self.pieces {
            for at in 0..piece.len() {
                channels.push((piece.source, piece.channel(at), &piece.chain, channels.len()));
            }
        }
        // Each piece with its channels' numbers.
        let mut pieces: Vec<(Piece, Vec<usize>)> = Vec::new();
        for group in channels.chunks_mut(self.shape.channels / groups) {
            group.sort_by_key(|&(source, channel, ..)| (source, channel));
            let first = pieces.len();
            for &(source, channel, chain, number) in &*group {
                let mut takes = pieces[first..].iter_mut().filter(|(piece, _)| piece.source == source);
                match takes.find_map(|(piece, numbers)| piece.take(channel, chain).then_some(numbers)) {
                    Some(numbers) => numbers.push(number),
                    None => {
                        let piece = Piece { source, channels: vec![channel], chain: chain.clone() };
                        pieces.push((piece, vec![number]));
                    }
                }
            }
        }
        let (mut pieces, order): (Vec<Piece>, Vec<Vec<usize>>) = pieces.into_iter().unzip();
        pieces.iter_mut().for_each(Piece::normalize);
        if pieces.len() > MOST_READS {
            return Err(NotFused::TooMuch("its channels are of too many segments"));
        }
        Ok(Some((Self { pieces, ..self.clone() }, order.concat())))
    }
}

impl Piece {
    /// Takes a channel that has another chain, if what is done to it is the same but for its numbers.
    fn take(&mut self, channel: usize, chain: &Chain) -> bool {
        let merged = if self.channels.contains(&channel) { None } else { self.chain.with_channel(chain, channel) };
        let Some(merged) = merged else { return false };
        self.chain = merged;
        self.channels.push(channel);
        true
    }
}

impl TensorData {
    /// Weights `[out, in / groups, taps]` for inputs in another order: for each its former number. `None` where they have scales
    /// for single inputs.
    pub(super) fn reordered(self, [out, inputs, taps]: [usize; 3], groups: usize, order: &[usize]) -> Option<Self> {
        let from = |at: usize| {
            let (output, input, tap) = (at / taps / inputs, at / taps % inputs, at % taps);
            let first = output / (out / groups) * inputs;
            (output * inputs + order[first + input] - first) * taps + tap
        };
        let all = out * inputs * taps;
        match self {
            Self::F32(values) => Some(Self::F32((0..all).map(|at| values[from(at)]).collect())),
            Self::Quantized { qvalues, scales, zero_points, axis } => {
                let single = axis == 0 || scales.len().max(zero_points.len()) == 1;
                let qvalues = (0..all).map(|at| qvalues[from(at)]).collect();
                single.then_some(Self::Quantized { qvalues, scales, zero_points, axis })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataType;

    use super::super::super::super::fused::Shape;
    use super::*;

    /// Two segments of four channels.
    fn value() -> Value {
        let shape = Shape { channels: 8, height: 1, width: 1 };
        let pieces = vec![Piece::all(0, 4), Piece::all(1, 4)];
        Value { pieces, shape, flat: false, groups: None, region: 0, kind: DataType::Float }
    }

    #[test]
    fn picked_channels_are_read_segment_by_segment_in_each_group() {
        let mut picked = value().select(&[0, 4, 2, 6, 5, 1, 7, 0]).unwrap();
        let numbers: Vec<f64> = (1..=8).map(f64::from).collect();
        picked.affine(&numbers, &[0.0; 8]);
        let (ordered, order) = picked.by_segment(2).unwrap().unwrap();
        let read: Vec<(usize, &[usize])> =
            ordered.pieces.iter().map(|piece| (piece.source, piece.channels.as_slice())).collect();
        assert_eq!(read, [(0, &[0, 2][..]), (1, &[0, 2]), (0, &[0, 1]), (1, &[1, 3])]);
        assert_eq!(order, [0, 2, 1, 3, 7, 5, 4, 6]);
        // Each channel keeps its number.
        let mul = |piece: &Piece| piece.channels.iter().map(|&c| piece.chain.affines(0)[0].mul[c]).collect::<Vec<_>>();
        let kept: Vec<f32> = ordered.pieces.iter().flat_map(mul).collect();
        assert_eq!(kept, [1.0, 3.0, 2.0, 4.0, 8.0, 6.0, 5.0, 7.0]);
        let TensorData::F32(weights) =
            TensorData::F32((0..8).map(|w| w as f32).collect()).reordered([2, 4, 1], 2, &order).unwrap()
        else {
            panic!("other weights")
        };
        assert_eq!(weights, [0.0, 2.0, 1.0, 3.0, 7.0, 5.0, 4.0, 6.0]);
    }

    #[test]
    fn what_is_in_few_pieces_stays_as_it_is() {
        assert!(value().by_segment(2).unwrap().is_none());
        let turned = value().select(&[7, 6, 5, 4, 3, 2, 1, 0]).unwrap();
        assert!(turned.by_segment(1).unwrap().is_none());
        assert!(value().select(&[8]).is_err() && value().select(&[]).is_err());
        // What is picked twice is read twice.
        let twice = value().select(&[1, 1, 2, 2, 3, 3]).unwrap();
        assert_eq!(twice.pieces.len(), 4);
        assert_eq!(
            twice.by_segment(1).unwrap().map(|(value, order)| (value.pieces.len(), order)),
            Some((2, vec![0, 2, 4, 1, 3, 5]))
        );
    }
}
