//! Channels in an order in which they are read from few segments.

use super::super::super::fused::Chain;
use super::constants::TensorData;
use super::value::{Piece, Value};

/// Most pieces that a convolution reads: beyond, reading them costs more than what is computed of them.
const MOST_READS: usize = 256;

impl Value {
    /// The input of a convolution in groups whose channels were picked from many segments: those of each group segment by segment,
    /// and for each channel its former number. `None` where they are in few pieces as they are.
    pub(super) fn by_segment(&self, groups: usize) -> Result<Option<(Self, Vec<usize>)>, String> {
        let mut sources: Vec<usize> = self.pieces.iter().map(|piece| piece.source).collect();
        sources.sort_unstable();
        sources.dedup();
        if self.pieces.len() <= groups.saturating_mul(sources.len()) {
            return Ok(None);
        }
        // Source, channel, the chain that it came with, its number.
        let mut channels: Vec<(usize, usize, &Chain, usize)> = Vec::new();
        for piece in &self.pieces {
            for at in 0..piece.len() {
                channels.push((piece.source, piece.channel(at), &piece.chain, channels.len()));
            }
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for group in channels.chunks_mut(self.shape.channels / groups) {
            group.sort_by_key(|&(source, channel, ..)| (source, channel));
            let first = pieces.len();
            for &(source, channel, chain, _) in &*group {
                let last = pieces[first..].last_mut().filter(|last| last.source == source);
                if !last.is_some_and(|last| last.take(channel, chain)) {
                    pieces.push(Piece { source, channels: vec![channel], chain: chain.clone() });
                }
            }
        }
        pieces.iter_mut().for_each(Piece::normalize);
        if pieces.len() > MOST_READS {
            return Err("its channels are of too many segments".into());
        }
        let order = channels.iter().map(|&(.., number)| number).collect();
        Ok(Some((Self { pieces, ..self.clone() }, order)))
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
