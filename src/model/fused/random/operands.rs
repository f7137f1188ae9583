//! Random sums and products of two operands, and normalizations.

use super::super::{Layer, Op, Read, Shape, Window};
use super::Maker;
use crate::quant::Affine;

impl Maker {
    /// A sum or product: of some segments and the same in another order, or through the same prologues, or another segment of the
    /// same shape, or of a map and one value for each of its channels.
    pub(super) fn combination(&mut self) {
        let first = self.reads(false);
        let shapes: Vec<Shape> = first.iter().map(|read| self.network.read_shape(read)).collect();
        let output = Shape { channels: shapes.iter().map(|shape| shape.channels).sum(), ..shapes[0] };
        let segments = self.network.inputs.len() + self.network.layers.len();
        let alike: Vec<usize> = (0..segments).filter(|&segment| self.network.shape(segment) == output).collect();
        let mut second = match self.between(0, 4) {
            0 => first.clone(),
            1 if !alike.is_empty() => {
                let segment = alike[self.between(0, alike.len() - 1)];
                vec![Read::all(segment, self.affines(segment, false))]
            }
            2 | 3 => vec![self.averages(&first, output)],
            _ => {
                let fresh = |read: &Read| Read { prologue: self.affines(read.segment, false), ..read.clone() };
                first.iter().rev().map(fresh).collect()
            }
        };
        let op = if self.one_in(2) { Op::Add } else { Op::Multiply };
        if op == Op::Multiply {
            // Products of products stay small.
            for read in &mut second {
                let channels = self.network.shape(read.segment).channels;
                read.prologue.push(Affine { low: -1.0, high: 2.0, ..self.norm(channels) });
            }
        }
        let name = format!("combination{}", self.network.layers.len());
        let epilogue = self.write(output.channels, false);
        let reads = first.into_iter().chain(second).collect();
        self.network.layers.push(Layer { name, op, reads, epilogue, output });
    }

    /// Pixels normalized over all channels of some segments.
    pub(super) fn normalization(&mut self) {
        let reads = self.reads(false);
        let channels = reads.iter().map(|read| self.network.read_shape(read).channels).sum();
        let output = Shape { channels, ..self.network.shape(reads[0].segment) };
        let name = format!("normalization{}", self.network.layers.len());
        let epilogue = self.write(channels, false);
        self.network.layers.push(Layer { name, op: Op::Normalize { epsilon: 1e-3 }, reads, epilogue, output });
    }

    /// A read of a layer that sums each channel of what is read.
    fn averages(&mut self, reads: &[Read], from: Shape) -> Read {
        let window = Window { kernel: [from.height, from.width], ..Window::ONE };
        let segment = self.network.inputs.len() + self.network.layers.len();
        let epilogue = self.write(from.channels, false);
        self.network.layers.push(Layer {
            name: format!("averages{segment}"),
            op: Op::SumPool(window),
            reads: reads.to_vec(),
            epilogue,
            output: Shape { height: 1, width: 1, ..from },
        });
        Read::all(segment, self.affines(segment, false))
    }
}
