//! Random fused networks for property tests: small, with every kind of layer.

use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use super::{Border, ConvolutionWeights, FusedNetwork, Input, Layer, Op, Output, Read, Shape, Window};
use crate::quant::{Affine, Function, Table};

mod dense;
mod groups;
mod operands;

/// The arithmetic of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberKind {
    /// All convolutions are int8.
    Int8,
    /// f32, without any rounding.
    Float,
    /// f32 and int8 mixed; all f32 parameters are small multiples of powers of two, so that sums are exact in any order.
    Exact,
}

/// The network of a seed. Layers read some of the segments of one extent, each through a prologue of its own.
pub(crate) fn network(seed: u64, numbers: NumberKind) -> FusedNetwork {
    let mut made = Maker { random: Pcg64::seed_from_u64(seed), numbers, network: FusedNetwork::default() };
    let side = [made.between(1, 9), made.between(1, 9)];
    for number in 0..made.between(1, 2) {
        let shape = Shape { channels: made.between(1, 6), height: side[0], width: side[1] };
        made.network.inputs.push(Input { name: format!("x{number}"), shape });
    }
    for _ in 0..made.between(1, 6) {
        if numbers != NumberKind::Int8 && made.one_in(5) {
            made.transition();
        } else if made.one_in(4) {
            made.combination();
        } else if numbers != NumberKind::Exact && made.one_in(8) {
            made.normalization();
        } else if numbers != NumberKind::Exact && made.one_in(8) {
            made.scattered_groups();
        } else if numbers == NumberKind::Int8 && made.one_in(3) {
            made.dense_layers();
        } else {
            made.layer();
        }
    }
    made.outputs();
    made.network
}

/// Values for a network's inputs.
pub(crate) fn inputs(network: &FusedNetwork, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Pcg64::seed_from_u64(seed);
    let quarters = Uniform::new_inclusive(-12_i32, 12).expect("a range");
    let mut values = |len: usize| (0..len).map(|_| quarters.sample(&mut random) as f32 / 4.0).collect();
    network.inputs.iter().map(|input| values(input.shape.len())).collect()
}

struct Maker {
    random: Pcg64,
    numbers: NumberKind,
    network: FusedNetwork,
}

impl Maker {
    fn between(&mut self, low: usize, high: usize) -> usize {
        Uniform::new_inclusive(low, high).expect("a range").sample(&mut self.random)
    }

    fn integer(&mut self, low: i32, high: i32) -> i32 {
        Uniform::new_inclusive(low, high).expect("a range").sample(&mut self.random)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.between(1, times) == 1
    }

    fn number(&mut self, low: f32, high: f32) -> f32 {
        if self.numbers == NumberKind::Exact {
            return self.integer((low * 4.0) as i32, (high * 4.0) as i32) as f32 / 4.0;
        }
        Uniform::new(low, high).expect("a range").sample(&mut self.random)
    }

    fn factor(&mut self) -> f32 {
        if self.numbers == NumberKind::Exact {
            let sizes = [0.5, 1.0, 2.0, -1.0, 1.0, 0.5];
            return sizes[self.between(0, sizes.len() - 1)];
        }
        self.number(-1.5, 1.5)
    }

    /// A norm with or without bounds.
    fn norm(&mut self, channels: usize) -> Affine {
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        match self.between(0, 3) {
            0 => low = 0.0,
            1 => (low, high) = (-1.0, 2.0),
            _ => {}
        }
        let mul = (0..channels).map(|_| self.factor()).collect();
        let add = (0..channels).map(|_| self.number(-2.0, 2.0)).collect();
        Affine { mul, add, function: self.function(), low, high, round: false }
    }

    /// Occasionally a function, if results need not be exact.
    fn function(&mut self) -> Function {
        if self.numbers == NumberKind::Exact || !self.one_in(4) {
            return Function::Identity;
        }
        match self.between(0, 6) {
            0 => Function::Sigmoid,
            1 => Function::Silu,
            2 => Function::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
            3 => Function::LeakyRelu(0.1),
            4 => Function::Gelu,
            5 => Function::Elu(1.0),
            _ => Function::Table(Table { first: -2, values: (0..6).map(|_| self.number(-3.0, 3.0)).collect() }),
        }
    }

    /// An affine to 8 bits, for values of about the size of `range`.
    fn quantize(&mut self, channels: usize, range: f32) -> Affine {
        let ends = [(0.0, 255.0), (-128.0, 127.0), (3.0, 250.0), (-5.0, 100.0), (0.0, 1.0)];
        let (low, high) = ends[self.between(0, ends.len() - 1)];
        let exact = self.numbers == NumberKind::Exact;
        let mul = (0..channels).map(|_| match exact {
            true => [1.0, 2.0, 0.5, 4.0][self.between(0, 3)],
            false => 100.0 / range * self.number(0.2, 1.5),
        });
        let mul: Vec<f32> = mul.collect();
        let add = (0..channels).map(|_| match exact {
            true => self.integer(-8, 40) as f32,
            false => self.number(-60.0, 120.0),
        });
        Affine { add: add.collect(), mul, low, high, function: Function::Identity, round: true }
    }

    /// The prologue of a reader of `segment`, with results of 8 bits if `bytes`.
    fn affines(&mut self, segment: usize, bytes: bool) -> Vec<Affine> {
        let channels = self.network.shape(segment).channels;
        let mut affines = Vec::new();
        let held = self.network.holds_quantized(segment);
        if bytes && held && self.one_in(2) {
            return affines;
        }
        if self.numbers != NumberKind::Float && self.one_in(3) {
            affines.push(self.quantize(channels, if held { 100.0 } else { 4.0 }));
        }
        if self.one_in(2) {
            affines.push(self.norm(channels));
        }
        if bytes {
            affines.push(self.quantize(channels, if held || !affines.is_empty() { 100.0 } else { 4.0 }));
        }
        affines
    }

    /// A read of all channels of a segment, or of some in another order.
    fn read(&mut self, segment: usize, bytes: bool) -> Read {
        let prologue = self.affines(segment, bytes);
        let mut channels: Vec<usize> = (0..self.network.shape(segment).channels).collect();
        if !self.one_in(4) {
            return Read::all(segment, prologue);
        }
        for at in (1..channels.len()).rev() {
            let other = self.between(0, at);
            channels.swap(at, other);
        }
        channels.truncate(self.between(1, channels.len()));
        Read { segment, channels, prologue }
    }

    fn reads(&mut self, bytes: bool) -> Vec<Read> {
        // Segments of one extent, usually the last one's.
        let segments = self.network.inputs.len() + self.network.layers.len();
        let chosen = if self.one_in(3) { self.between(0, segments - 1) } else { segments - 1 };
        let area = |network: &FusedNetwork, s: usize| (network.shape(s).height, network.shape(s).width);
        let mut reads = vec![self.read(chosen, bytes)];
        for segment in 0..segments {
            if segment != chosen && area(&self.network, segment) == area(&self.network, chosen) && self.one_in(2) {
                reads.push(self.read(segment, bytes));
            }
        }
        reads
    }

    /// A window over `height` by `width` whose output is not empty.
    fn window(&mut self, height: usize, width: usize) -> Window {
        for _ in 0..20 {
            let side = |maker: &mut Self| [1, 1, 2, 3, 3, 5][maker.between(0, 5)];
            let kernel = [side(self), side(self)];
            let stride = if self.one_in(3) { [self.between(1, 3), self.between(1, 3)] } else { [1, 1] };
            let padding = match self.between(0, 2) {
                0 => [kernel[0] / 2, kernel[1] / 2, kernel[0] / 2, kernel[1] / 2],
                1 => std::array::from_fn(|side| self.between(0, kernel[side % 2] - 1)),
                _ => [0; 4],
            };
            let window = Window { kernel, stride, padding, ..Window::ONE };
            if window.output(height, width).is_some() {
                return window;
            }
        }
        Window::ONE
    }

    /// The window of a convolution, occasionally dilated, or over a mirrored image.
    fn spread(&mut self, window: Window, height: usize, width: usize) -> Window {
        let mut spread = window;
        if self.one_in(4) {
            spread.dilation = [self.between(1, 3), self.between(1, 3)];
        }
        let [top, left, bottom, right] = window.padding;
        if self.one_in(4) && top.max(bottom) < height && left.max(right) < width {
            spread.border = Border::Reflect;
        }
        if spread.output(height, width).is_some() { spread } else { window }
    }

    fn layer(&mut self) {
        let convolution = !self.one_in(3);
        let int8 = convolution
            && match self.numbers {
                NumberKind::Int8 => true,
                NumberKind::Float => false,
                NumberKind::Exact => self.one_in(3),
            };
        let bytes = int8 || !convolution && self.numbers != NumberKind::Float && self.one_in(2);
        let mut reads = self.reads(bytes);
        let shapes: Vec<Shape> = reads.iter().map(|read| self.network.read_shape(read)).collect();
        let channels: usize = shapes.iter().map(|shape| shape.channels).sum();
        let (height, width) = (shapes[0].height, shapes[0].width);
        let pool = !convolution;
        let sum = pool && self.one_in(2);
        let mut window = self.window(height, width);
        if sum && self.one_in(2) {
            window.border = Border::Absent;
        }
        if self.numbers == NumberKind::Exact && (sum || self.one_in(2)) {
            // The average over a window is exact if it covers a power of two of values.
            let side = [1, 2, 2][self.between(0, 2)];
            let kernel = if sum && height >= side && width >= side { [side; 2] } else { [1; 2] };
            window = Window { kernel, stride: kernel, padding: [0; 4], ..Window::ONE };
        }
        if convolution {
            window = self.spread(window, height, width);
        }
        let [rows, columns] = window.output(height, width).expect("something is left");
        let groups: Vec<usize> = (1..=channels).filter(|&groups| channels.is_multiple_of(groups)).collect();
        let groups = if self.one_in(2) { groups[self.between(0, groups.len() - 1)] } else { 1 };
        let out = if pool { channels } else { groups * self.between(1, (6 / groups).max(1)) };
        let output = Shape { channels: out, height: rows, width: columns };
        let op = match (pool, sum) {
            (true, true) => Op::SumPool(window),
            (true, false) => Op::MaxPool(window),
            _ if int8 => Op::Convolution {
                window,
                groups,
                weights: self.int8(out, channels / groups * window.len(), &mut reads, &window),
            },
            _ => Op::Convolution { window, groups, weights: self.float(out, channels / groups * window.len()) },
        };
        let name = format!("layer{}", self.network.layers.len());
        let write = self.write(out, int8);
        self.network.layers.push(Layer { name, op, reads, epilogue: write, output });
    }

    /// A 1x1 convolution with an average pool behind it.
    fn transition(&mut self) {
        let reads = self.reads(false);
        let shapes: Vec<Shape> = reads.iter().map(|read| self.network.read_shape(read)).collect();
        let (channels, out) = (shapes.iter().map(|shape| shape.channels).sum(), self.between(1, 6));
        let (height, width) = (shapes[0].height, shapes[0].width);
        let op = Op::Convolution { window: Window::ONE, groups: 1, weights: self.float(out, channels) };
        let segment = self.network.inputs.len() + self.network.layers.len();
        let output = Shape { channels: out, height, width };
        let name = format!("transition{segment}");
        self.network.layers.push(Layer { name, op, reads, epilogue: vec![], output });
        let kernel = [self.between(1, height.min(2)), self.between(1, width.min(2))];
        let window = Window { kernel, stride: kernel, padding: [0; 4], ..Window::ONE };
        let [height, width] = window.output(height, width).expect("it is no larger");
        let reads = vec![Read::all(segment, if self.one_in(4) { vec![self.norm(out)] } else { vec![] })];
        let write = self.write(out, false);
        let output = Shape { channels: out, height, width };
        self.network.layers.push(Layer {
            name: format!("pool{segment}"),
            op: Op::SumPool(window),
            reads,
            epilogue: write,
            output,
        });
    }

    fn int8(&mut self, out: usize, each: usize, reads: &mut [Read], window: &Window) -> ConvolutionWeights {
        let values = (0..out * each).map(|_| self.integer(-128, 127) as i8).collect();
        let zero_points =
            if self.one_in(3) { (0..out).map(|_| self.integer(-128, 127) as i16).collect() } else { vec![] };
        let signed: Vec<bool> = reads.iter().map(|read| self.signed(read)).collect();
        // Padding has to be in the range of all values read.
        let (least, greatest) = match (signed.contains(&true), signed.contains(&false)) {
            (true, true) => (0, 127),
            (true, false) => (-128, 127),
            _ => (0, 255),
        };
        let beyond = window.padding == [0; 4] && self.one_in(3);
        let input_zero_point = if beyond { self.integer(-900, 900) } else { self.integer(least, greatest) };
        ConvolutionWeights::Int8 { values, zero_points, input_zero_point }
    }

    fn signed(&self, read: &Read) -> bool {
        let affine = read.prologue.last().or_else(|| {
            let number = read.segment.checked_sub(self.network.inputs.len())?;
            self.network.layers[number].epilogue.last()
        });
        match affine {
            Some(affine) => affine.low < 0.0,
            // A pool that passes its input's quantized values on.
            None => {
                let number = read.segment - self.network.inputs.len();
                self.network.layers[number].reads.iter().any(|read| self.signed(read))
            }
        }
    }

    fn float(&mut self, out: usize, each: usize) -> ConvolutionWeights {
        let values = (0..out * each).map(|_| self.number(-1.0, 1.0)).collect();
        ConvolutionWeights::Float { values, bias: (0..out).map(|_| self.number(-1.0, 1.0)).collect() }
    }

    fn write(&mut self, channels: usize, int8: bool) -> Vec<Affine> {
        let range = if int8 { 20_000.0 } else { 10.0 };
        let mut affines = Vec::new();
        match self.between(0, 4) {
            0 => {}
            1 => affines.push(self.norm(channels)),
            _ if self.numbers == NumberKind::Float => {}
            2 => {
                affines.push(self.quantize(channels, range));
                affines.push(self.quantize(channels, 100.0));
            }
            _ => affines.push(self.quantize(channels, range)),
        }
        affines
    }

    /// Segments without readers become outputs, and so do some others.
    fn outputs(&mut self) {
        let (inputs, layers) = (self.network.inputs.len(), self.network.layers.len());
        let read: Vec<usize> =
            self.network.layers.iter().flat_map(|layer| layer.reads.iter().map(|read| read.segment)).collect();
        for segment in inputs..inputs + layers {
            let idle = !read.contains(&segment);
            if !idle && !self.one_in(4) && segment + 1 < inputs + layers {
                continue;
            }
            let read = self.read(segment, false);
            let Shape { channels, height, width } = self.network.read_shape(&read);
            let dims = vec![1, channels, height, width];
            let output = Output { name: format!("y{segment}"), dims, reads: vec![read] };
            self.network.outputs.push(output);
        }
    }
}
