//! Random groups that pick their channels from all over what they read.

use super::super::{ConvolutionWeights, Layer, Op, Read, Shape, Window};
use super::{Maker, NumberKind};

impl Maker {
    /// A convolution of many channels, and one in groups behind it that takes them in any order, as CondenseNet does.
    pub(super) fn scattered_groups(&mut self) {
        let reads = self.reads(self.numbers == NumberKind::Int8);
        let from = self.network.read_shape(&reads[0]);
        let groups = self.between(2, 4);
        let many = 4 * groups * self.between(1, 2);
        self.point(reads, Shape { channels: many, ..from }, 1);
        let segment = self.network.inputs.len() + self.network.layers.len() - 1;
        let mut channels: Vec<usize> = (0..many).collect();
        for at in (1..many).rev() {
            let other = self.between(0, at);
            channels.swap(at, other);
        }
        let prologue = self.affines(segment, self.numbers == NumberKind::Int8);
        let output = Shape { channels: groups * self.between(1, 3), ..from };
        self.point(vec![Read { segment, channels, prologue }], output, groups);
    }

    /// A 1x1 convolution.
    fn point(&mut self, mut reads: Vec<Read>, output: Shape, groups: usize) {
        let int8 = self.numbers == NumberKind::Int8;
        let inputs: usize = reads.iter().map(|read| self.network.read_shape(read).channels).sum();
        let each = inputs / groups;
        let weights: ConvolutionWeights = match int8 {
            true => self.int8(output.channels, each, &mut reads, &Window::ONE),
            false => self.float(output.channels, each),
        };
        let op = Op::Convolution { window: Window::ONE, groups, weights };
        let name = format!("point{}", self.network.layers.len());
        let epilogue = self.write(output.channels, int8);
        self.network.layers.push(Layer { name, op, reads, epilogue, output });
    }
}
