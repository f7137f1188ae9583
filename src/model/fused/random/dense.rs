//! Random dense layers, whose second convolution reads the first one's results in place.

use super::super::{ConvolutionWeights, Layer, Op, Read, Shape, Window};
use super::Maker;

impl Maker {
    /// Int8 convolutions of one shape and window, one behind the other: all but the first read quantized values as they are. Some
    /// are in groups, some have a pool in between, and some are read again by later layers.
    pub(super) fn dense_layers(&mut self) {
        let reads = self.reads(true);
        let from = self.network.read_shape(&reads[0]);
        let side = [1, 3, 3, 5][self.between(0, 3)];
        let window = Window { kernel: [side; 2], padding: [side / 2; 4], ..Window::ONE };
        let output = Shape { channels: 2 * self.between(1, 4), ..from };
        self.int8_layer(reads, output, Window::ONE, 1);
        for _ in 0..self.between(2, 6) {
            if self.one_in(3) {
                self.pool_of_halves(output);
            }
            let groups = [1, 1, 2, output.channels][self.between(0, 3)];
            self.int8_layer(vec![Read::all(self.last(), vec![])], output, window, groups);
        }
    }

    fn last(&self) -> usize {
        self.network.inputs.len() + self.network.layers.len() - 1
    }

    /// An int8 convolution with quantized results.
    fn int8_layer(&mut self, mut reads: Vec<Read>, output: Shape, window: Window, groups: usize) {
        let channels: usize = reads.iter().map(|read| self.network.read_shape(read).channels).sum();
        let mut weights = self.int8(output.channels, channels / groups * window.len(), &mut reads, &window);
        // Of layers that share a range, readers often agree on what represents 0.
        if let ConvolutionWeights::Int8 { input_zero_point, .. } = &mut weights
            && self.one_in(2)
        {
            *input_zero_point = 0;
        }
        let op = Op::Convolution { window, groups, weights };
        let epilogue = vec![self.quantize(output.channels, 20_000.0)];
        self.network.layers.push(Layer { name: format!("dense{}", self.last()), op, reads, epilogue, output });
    }

    /// A max pool over half of the last segment's channels and half of another's, if their types are the same: its channels lie in
    /// more planes than a convolution's.
    fn pool_of_halves(&mut self, output: Shape) {
        let last = self.last();
        let halves = [last, last - 1].map(|segment| Read {
            segment,
            channels: (0..output.channels / 2).collect(),
            prologue: vec![],
        });
        let fits =
            |read: &Read| self.network.shape(read.segment) == output && self.network.holds_quantized(read.segment);
        if halves.iter().all(fits) && self.signed(&halves[0]) == self.signed(&halves[1]) {
            let op = Op::MaxPool(Window::ONE);
            let name = format!("halves{last}");
            self.network.layers.push(Layer { name, op, reads: halves.to_vec(), epilogue: vec![], output });
        }
    }
}
