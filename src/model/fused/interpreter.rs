//! Runs a fused network value by value, in the plainest code.

use super::{Border, ConvolutionWeights, FusedNetwork, Layer, Op, Read, Shape, Window};
use crate::quant::Affine;

/// Values of consecutive planes of `height` by `width`. Quantized values are whole numbers.
type Planes = Vec<f32>;

/// What an [`Observer`] is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// The layer's input, after its prologues.
    Input,
    /// The layer's bare result, before its epilogue.
    Result,
    /// What the layer writes: its result after its epilogue.
    Written,
}

/// Sees, and may change, the input and the results of the layer with this index.
pub type Observer<'a> = dyn FnMut(usize, Trace, &mut [f32]) + 'a;

impl FusedNetwork {
    /// The outputs for one image; `inputs` holds the values of each input, as many as its shape has.
    ///
    /// # Panics
    /// If the number of inputs, or of an input's values, is not the network's.
    pub fn run(&self, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
        self.run_observed(inputs, &mut |_, _, _| {})
    }

    /// As [`run`](Self::run), showing each layer's input and results to `observer`.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn run_observed(&self, inputs: &[&[f32]], observer: &mut Observer<'_>) -> Vec<Vec<f32>> {
        assert_eq!(inputs.len(), self.inputs.len(), "one value list for each input");
        let mut segments: Vec<Planes> = Vec::with_capacity(self.inputs.len() + self.layers.len());
        for (input, values) in self.inputs.iter().zip(inputs) {
            assert_eq!(values.len(), input.shape.len(), "values of input {}", input.name);
            segments.push(values.to_vec());
        }
        for (number, layer) in self.layers.iter().enumerate() {
            let shape = self.input_shape(layer);
            let mut input = self.gather(&layer.reads, &segments);
            observer(number, Trace::Input, &mut input);
            let mut result = compute(layer, &input, shape);
            observer(number, Trace::Result, &mut result);
            apply(&layer.epilogue, &mut result, layer.output.area());
            observer(number, Trace::Written, &mut result);
            segments.push(result);
        }
        self.outputs.iter().map(|output| self.gather(&output.reads, &segments)).collect()
    }

    /// The concatenation of the segments that are read, after their prologues.
    fn gather(&self, reads: &[Read], segments: &[Planes]) -> Planes {
        let mut all = Planes::new();
        for read in reads {
            let shape = self.shape(read.segment);
            let (area, values) = (shape.area(), &segments[read.segment]);
            let every: Vec<usize> = (0..shape.channels).collect();
            for &channel in if read.channels.is_empty() { &every } else { &read.channels } {
                let start = all.len();
                all.extend(&values[channel * area..][..area]);
                for affine in &read.prologue {
                    all[start..].iter_mut().for_each(|value| *value = affine.apply(channel, *value));
                }
            }
        }
        all
    }
}

/// Applies affines to values in planes of `area` values.
fn apply(affines: &[Affine], values: &mut [f32], area: usize) {
    for affine in affines {
        for (channel, plane) in values.chunks_exact_mut(area).enumerate() {
            plane.iter_mut().for_each(|value| *value = affine.apply(channel, *value));
        }
    }
}

/// The bare result of a layer for an input of shape `shape`.
fn compute(layer: &Layer, input: &[f32], shape: Shape) -> Planes {
    match &layer.op {
        Op::Convolution {
            window,
            groups,
            weights: ConvolutionWeights::Int8 { values, zero_points, input_zero_point },
        } => {
            let centred: Vec<i16> = input.iter().map(|&qvalue| qvalue as i16 - *input_zero_point as i16).collect();
            let weight = |out: usize, at: usize| {
                i32::from(values[at]) - zero_points.get(out).map_or(0, |&zero_point| i32::from(zero_point))
            };
            let accumulated =
                convolve(&centred, shape, (window, *groups), layer.output, weight, |sum: &mut i32, x: i16, w| {
                    *sum += i32::from(x) * w;
                });
            accumulated.into_iter().map(|sum| sum as f32).collect()
        }
        Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias } } => {
            let weight = |_, at: usize| values[at];
            let mut result =
                convolve(input, shape, (window, *groups), layer.output, weight, |sum: &mut f32, x: f32, w: f32| {
                    *sum += x * w;
                });
            for (plane, bias) in result.chunks_exact_mut(layer.output.area()).zip(bias) {
                plane.iter_mut().for_each(|value| *value += bias);
            }
            result
        }
        Op::MaxPool(window) => pool(input, shape, window, layer.output, f32::max),
        Op::SumPool(window) => {
            let mut sums = pool(input, shape, window, layer.output, |a, b| a + b);
            if window.border == Border::Absent {
                scale_up(&mut sums, shape, window, layer.output);
            }
            sums
        }
        Op::Add => combine(input, layer.output, |a, b| a + b),
        Op::Multiply => combine(input, layer.output, |a, b| a * b),
        Op::Normalize { epsilon } => normalize(input, shape, *epsilon),
    }
}

/// Combines two operands, one behind the other in `input`; the second may have one value for each channel.
fn combine(input: &[f32], output: Shape, combine: impl Fn(f32, f32) -> f32) -> Planes {
    let (first, second) = input.split_at(output.len());
    let single = second.len() == output.channels;
    let other = |at: usize| second[if single { at / output.area() } else { at }];
    first.iter().enumerate().map(|(at, &value)| combine(value, other(at))).collect()
}

/// Each pixel's values less their mean over all channels, divided by their deviation. In f64, so that sums are nearly exact.
fn normalize(input: &[f32], shape: Shape, epsilon: f32) -> Planes {
    let (channels, area) = (shape.channels as f64, shape.area());
    let mut result = vec![0.0; input.len()];
    for pixel in 0..area {
        let values = || input[pixel..].iter().step_by(area).map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / channels;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / channels;
        let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
        let normalized = result[pixel..].iter_mut().step_by(area).zip(values());
        normalized.for_each(|(result, value)| *result = ((value - mean) * factor) as f32);
    }
    result
}

/// A convolution by its definition, with the innermost loop along whole planes: the input is padded, the convolution computed
/// at stride 1, and results between strides are left out at the end.
fn convolve<X: Copy + Default, W: Copy, S: Copy + Default>(
    input: &[X],
    shape: Shape,
    (window, groups): (&Window, usize),
    output: Shape,
    weight: impl Fn(usize, usize) -> W,
    add: impl Fn(&mut S, X, W),
) -> Vec<S> {
    let [top, left, bottom, right] = window.padding;
    let (height, width) = (shape.height + top + bottom, shape.width + left + right);
    let mut padded = vec![X::default(); shape.channels * height * width];
    for channel in 0..shape.channels {
        for row in 0..height {
            for column in 0..width {
                let from =
                    (window.border.place(row, top, shape.height), window.border.place(column, left, shape.width));
                if let (Some(y), Some(x)) = from {
                    padded[(channel * height + row) * width + column] =
                        input[(channel * shape.height + y) * shape.width + x];
                }
            }
        }
    }
    let ([kernel_height, kernel_width], [down, right]) = (window.kernel, window.dilation);
    let [span_height, span_width] = window.span();
    // Positions along the rows, up to the last where the whole window is inside.
    let places = (height - span_height) * width + (width - span_width) + 1;
    let mut sums = vec![S::default(); places];
    let mut result = Vec::with_capacity(output.len());
    let each = shape.channels / groups;
    for out in 0..output.channels {
        sums.fill(S::default());
        let first = out / (output.channels / groups) * each;
        for channel in 0..each {
            for row in 0..kernel_height {
                for column in 0..kernel_width {
                    let at = ((out * each + channel) * kernel_height + row) * kernel_width + column;
                    let start = ((first + channel) * height + row * down) * width + column * right;
                    let weight = weight(out, at);
                    for (sum, &x) in sums.iter_mut().zip(&padded[start..start + places]) {
                        add(sum, x, weight);
                    }
                }
            }
        }
        for row in 0..output.height {
            for column in 0..output.width {
                result.push(sums[row * window.stride[0] * width + column * window.stride[1]]);
            }
        }
    }
    result
}

/// Reduces the values under each window that are inside the image: first down each column, then across the columns.
fn pool(input: &[f32], shape: Shape, window: &Window, output: Shape, reduce: impl Fn(f32, f32) -> f32) -> Planes {
    let mut result = Planes::with_capacity(output.len());
    for plane in input.chunks_exact(shape.area()) {
        for row in 0..output.height {
            let rows = window.inside(0, row, shape.height);
            for column in 0..output.width {
                let columns = window.inside(1, column, shape.width);
                let column = |x: usize| rows.clone().map(|y| plane[y * shape.width + x]).reduce(&reduce);
                result.push(columns.filter_map(column).reduce(&reduce).unwrap_or(0.0));
            }
        }
    }
    result
}

/// Scales sums of fewer values than a window has.
fn scale_up(sums: &mut [f32], shape: Shape, window: &Window, output: Shape) {
    for (at, sum) in sums.iter_mut().enumerate() {
        let (row, column) = (at / output.width % output.height, at % output.width);
        let values = window.inside(0, row, shape.height).len() * window.inside(1, column, shape.width).len();
        *sum *= window.scale_up(values);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::*;
    use crate::quant::Function;

    fn layer(op: Op, reads: Vec<Read>, write: Vec<Affine>, output: Shape) -> Layer {
        Layer { name: "l".into(), op, reads, epilogue: write, output }
    }

    fn shape(channels: usize, height: usize, width: usize) -> Shape {
        Shape { channels, height, width }
    }

    #[test]
    fn pixels_are_normalized_by_hand() {
        let shape = Shape { channels: 3, height: 1, width: 2 };
        let found = normalize(&[1.0, 5.0, 2.0, 5.0, 6.0, 5.0], shape, 1.0);
        // Mean 3 and variance 14 / 3; then three times 5.
        let deviation = (14.0_f32 / 3.0 + 1.0).sqrt();
        let expected = [-2.0 / deviation, 0.0, -1.0 / deviation, 0.0, 3.0 / deviation, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_convolution_by_hand() {
        // Input quantized values 1 2 / 3 4 with zero point 1; window 2x2 with a column of padding on the right; stride 1.
        let window = Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0, 0, 1], ..Window::ONE };
        let weights = ConvolutionWeights::Int8 { values: vec![1, 2, 3, -4], zero_points: vec![1], input_zero_point: 1 };
        let network = FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape: shape(1, 2, 2) }],
            layers: vec![layer(
                Op::Convolution { window, groups: 1, weights },
                vec![Read::all(0, vec![])],
                vec![],
                shape(1, 1, 2),
            )],
            outputs: vec![super::super::Output {
                name: "y".into(),
                dims: vec![1, 1, 1, 2],
                reads: vec![Read::all(1, vec![])],
            }],
        };
        // Centred: 0 1 0 / 2 3 0; weights less zero point: 0 1 / 2 -5.
        let y = network.run(&[&[1.0, 2.0, 3.0, 4.0]]);
        assert_eq!(y, [[1.0 + 4.0 - 15.0, 0.0 + 6.0]]);
        assert_eq!(network.layers[0].macs(&network), Some(8));
    }

    #[test]
    fn strides_and_float_weights() {
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1; 4], ..Window::ONE };
        let op = Op::Convolution {
            window,
            groups: 1,
            weights: ConvolutionWeights::Float { values: vec![1.0; 9], bias: vec![0.5] },
        };
        let input: Planes = (0..16).map(|v| v as f32).collect();
        let result = compute(&layer(op, vec![], vec![], shape(1, 2, 2)), &input, shape(1, 4, 4));
        // Sums over the corners {0,1,4,5}, {1,2,3,5,6,7}, {4,5,8,9,12,13}, and the inner nine.
        assert_eq!(result, [10.5, 24.5, 51.5, 90.5]);
    }

    #[test]
    fn pools_leave_padding_out() {
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1; 4], ..Window::ONE };
        let input = [-5.0, -6.0, -7.0, -8.0];
        let run = |op| compute(&layer(op, vec![], vec![], shape(1, 1, 1)), &input, shape(1, 2, 2));
        assert_eq!(run(Op::MaxPool(window)), [-5.0]);
        assert_eq!(
            run(Op::SumPool(Window { kernel: [2, 2], stride: [2, 2], padding: [0; 4], ..Window::ONE })),
            [-26.0]
        );
    }

    #[test]
    fn sums_count_padding_as_zeros_or_not_at_all() {
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1, 0, 0], ..Window::ONE };
        let input = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let run = |border| {
            let op = Op::SumPool(Window { border, ..window });
            compute(&layer(op, vec![], vec![], shape(1, 1, 2)), &input, shape(1, 2, 4))
        };
        // Four values of nine, and six.
        assert_eq!(run(Border::Zero), [14.0, 30.0]);
        assert_eq!(run(Border::Absent), [14.0 * 2.25, 30.0 * 1.5]);
    }

    #[test]
    fn operands_are_combined_value_by_value_or_channel_by_channel() {
        let run = |op, input: &[f32]| compute(&layer(op, vec![], vec![], shape(2, 1, 2)), input, shape(4, 1, 2));
        let first = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(run(Op::Add, &[first, [10.0, 20.0, 30.0, 40.0]].concat()), [11.0, 22.0, 33.0, 44.0]);
        assert_eq!(run(Op::Multiply, &[&first[..], &[10.0, -1.0]].concat()), [10.0, 20.0, -3.0, -4.0]);
    }

    #[test]
    fn segments_are_read_each_with_its_own_steps() {
        let affine = |mul: &[f32], low| Affine {
            mul: mul.into(),
            add: vec![1.0; mul.len()],
            low,
            high: f32::INFINITY,
            function: Function::Identity,
            round: false,
        };
        let read = |segment, affines| Read::all(segment, affines);
        let pool = Op::MaxPool(Window::ONE);
        let network = FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape: shape(2, 1, 1) }],
            layers: vec![
                layer(pool.clone(), vec![read(0, vec![])], vec![affine(&[2.0, 3.0], 0.0)], shape(2, 1, 1)),
                layer(pool, vec![read(0, vec![affine(&[1.0; 2], 0.0)]), read(1, vec![])], vec![], shape(4, 1, 1)),
            ],
            outputs: vec![super::super::Output {
                name: "y".into(),
                dims: vec![1, 4],
                reads: vec![read(2, vec![affine(&[10.0; 4], 0.0)])],
            }],
        };
        let mut seen = Vec::new();
        let y = network.run_observed(&[&[3.0, -4.0]], &mut |layer, trace, values| {
            seen.push((layer, trace, values.to_vec()));
        });
        assert_eq!(y, [[41.0, 1.0, 71.0, 1.0]]);
        assert_eq!(seen[3], (1, Trace::Input, vec![4.0, 0.0, 7.0, 0.0]));
    }
}
