//! Where a network sees what speaks for a class: class activation maps (Zhou et al., "Learning Deep Features for Discriminative
//! Localization", CVPR 2016).
//!
//! A network that ends in a global average pool and one linear layer weighs the means of its last feature map's channels. The same weights
//! at each place of the map, before the mean is taken, give a map for each class whose mean is the class's logit less its bias.

use super::{ConvolutionWeights, FusedNetwork, Layer, Op, Output, Shape, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::{Affine, Function};

/// How the last feature map becomes a map for each class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMaps {
    /// The last feature map.
    shape: Shape,
    /// What a value of it counts, `[classes, channels]`.
    weights: Vec<f64>,
    /// What is added at each place, for each class: zero points. 0 in float networks.
    offsets: Vec<f64>,
    /// Each class's bias: its logit less the mean of its map.
    biases: Vec<f64>,
}

impl ClassMaps {
    /// Those of `network`, and the part of it that gives the last feature map, its only output: as the pool reads it, quantized values where
    /// they are such.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a network that does not end in a global average pool and one linear layer, with what it ends in.
    pub fn of(network: &FusedNetwork) -> Result<(Self, FusedNetwork)> {
        let [output] = &network.outputs[..] else { return Err(refuse("in several outputs")) };
        let [scores] = &output.reads[..] else { return Err(refuse("in a concatenation")) };
        let (_, head) = maker(network, scores.segment)?;
        let (weights, from) = match (&head.op, &head.reads[..]) {
            (Op::Convolution { weights, groups: 1, .. }, [read]) if scores.channels.is_empty() => (weights, read),
            _ => return Err(refuse(&format!("in {}", named(head)))),
        };
        let (number, pool) = maker(network, from.segment)?;
        let input = network.input_shape(pool);
        let whole = Window { kernel: [input.height, input.width], ..Window::ONE };
        let is_global =
            matches!(pool.op, Op::SumPool(Window { kernel, padding: [0, 0, 0, 0], .. }) if kernel == whole.kernel);
        if !is_global || !from.channels.is_empty() {
            return Err(refuse(&format!("in {}, which reads {}", named(head), named(pool))));
        }
        let straight = || refuse(&format!("in {} with a function between it and the mean or the scores", named(head)));
        let after: Vec<Affine> = head.epilogue.iter().chain(&scores.prologue).cloned().collect();
        let between: Vec<Affine> = pool.epilogue.iter().chain(&from.prologue).cloned().collect();
        let lines = |affines: &[Affine], channels| (0..channels).map(|c| line(affines, c)).collect::<Option<Vec<_>>>();
        let (classes, channels) = (head.output.channels, input.channels);
        let after = lines(&after, classes).ok_or_else(straight)?;
        let means = lines(&between, channels).ok_or_else(straight)?;
        let linear = Linear::of(weights, classes);
        let area = input.area() as f64;
        let mut maps = Self { shape: input, weights: Vec::new(), offsets: Vec::new(), biases: Vec::new() };
        for (class, &(scale, shift)) in after.iter().enumerate() {
            let weights = (0..channels).map(|channel| scale * linear.weight(class * channels + channel, class));
            let weights: Vec<f64> = weights.collect();
            maps.offsets.push(weights.iter().zip(&means).map(|(w, (_, add))| w * (add - linear.zero_point)).sum());
            maps.weights.extend(weights.iter().zip(&means).map(|(w, (mul, _))| w * mul * area));
            maps.biases.push(scale * linear.biases[class] + shift);
        }
        let dims = vec![1, input.channels, input.height, input.width];
        let features = Output { name: "features".into(), dims, reads: pool.reads.clone() };
        let (inputs, layers) = (network.inputs.clone(), network.layers[..number].to_vec());
        Ok((maps, FusedNetwork { inputs, layers, outputs: vec![features] }))
    }

    /// Shape of the feature map.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.biases.len()
    }

    /// A class's bias: its logit less the mean of its map.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn bias(&self, class: usize) -> f64 {
        self.biases[class]
    }

    /// The map of `class`, row by row, of the values of a feature map, plane by plane.
    ///
    /// # Panics
    /// If there is no such class, or `features` are not as many as the shape has.
    pub fn map(&self, features: &[f32], class: usize) -> Vec<f32> {
        assert_eq!(features.len(), self.shape.len(), "values of the feature map");
        let mut map = vec![self.offsets[class]; self.shape.area()];
        let weights = &self.weights[class * self.shape.channels..][..self.shape.channels];
        for (plane, weight) in features.chunks_exact(self.shape.area()).zip(weights) {
            map.iter_mut().zip(plane).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
        map.into_iter().map(|value| value as f32).collect()
    }
}

/// The weights of the last layer, quantized or not.
struct Linear<'a> {
    weights: &'a ConvolutionWeights,
    zero_point: f64,
    biases: Vec<f64>,
}

impl<'a> Linear<'a> {
    fn of(weights: &'a ConvolutionWeights, classes: usize) -> Self {
        let (zero_point, biases) = match weights {
            ConvolutionWeights::Int8 { input_zero_point, .. } => (f64::from(*input_zero_point), vec![0.0; classes]),
            ConvolutionWeights::Float { bias, .. } => (0.0, bias.iter().map(|value| f64::from(*value)).collect()),
        };
        Self { weights, zero_point, biases }
    }

    fn weight(&self, at: usize, class: usize) -> f64 {
        match self.weights {
            ConvolutionWeights::Int8 { values, zero_points, .. } => {
                f64::from(values[at]) - zero_points.get(class).map_or(0.0, |zero_point| f64::from(*zero_point))
            }
            ConvolutionWeights::Float { values, .. } => values[at].into(),
        }
    }
}

/// The layer that writes a segment, and its number.
fn maker(network: &FusedNetwork, segment: usize) -> Result<(usize, &Layer)> {
    let number = segment.checked_sub(network.inputs.len()).ok_or_else(|| refuse("in its input"))?;
    Ok((number, &network.layers[number]))
}

fn named(layer: &Layer) -> String {
    format!("{} ({})", layer.name, layer.op.kind().name())
}

fn refuse(end: &str) -> Error {
    let message = format!(
        "no heat maps: they take a network that ends in a global average pool and one linear layer, and this one ends {end}"
    );
    Error::new(ErrorKind::Model, message)
}

/// Factor and summand of `affines` for one channel, as if nothing was rounded; `None` where they are no straight line. The bounds of
/// quantized values do not count: they are where the values end.
fn line(affines: &[Affine], channel: usize) -> Option<(f64, f64)> {
    affines.iter().try_fold((1.0, 0.0), |(scale, shift), affine| {
        let bounded = affine.low != f32::NEG_INFINITY || affine.high != f32::INFINITY;
        let straight = affine.function == Function::Identity && (affine.round || !bounded);
        let (mul, add) = (f64::from(affine.mul[channel]), f64::from(affine.add[channel]));
        straight.then_some((scale * mul, shift * mul + add))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Read};
    use super::*;

    const MAP: Shape = Shape { channels: 2, height: 2, width: 3 };

    fn layer(name: &str, op: Op, reads: Vec<Read>, channels: usize) -> Layer {
        let output = Shape { channels, height: 1, width: 1 };
        Layer { name: name.into(), op, reads, epilogue: vec![], output }
    }

    /// A norm, the mean, a linear layer of two classes.
    fn network() -> FusedNetwork {
        let norm = Affine { low: 0.0, ..Affine::linear(vec![1.0, 0.5], vec![0.25, 0.0]) };
        let pool = Op::SumPool(Window { kernel: [2, 3], ..Window::ONE });
        let weights = ConvolutionWeights::Float { values: vec![1.0, -2.0, 0.5, 3.0], bias: vec![10.0, -1.0] };
        let head = Op::Convolution { window: Window::ONE, groups: 1, weights };
        FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape: MAP }],
            layers: vec![
                layer("pool", pool, vec![Read::all(0, vec![norm])], 2),
                layer("head", head, vec![Read::all(1, vec![Affine::factor(1.0 / 6.0, 2)])], 2),
            ],
            outputs: vec![Output { name: "y".into(), dims: vec![1, 2], reads: vec![Read::all(2, vec![])] }],
        }
    }

    const INPUT: [f32; 12] = [1.0, 2.0, 0.0, 0.0, 0.0, -9.0, 4.0, 0.0, 0.0, 2.0, -3.0, 0.0];

    #[test]
    fn the_mean_of_a_map_is_the_logit_less_the_bias() {
        let network = network();
        let logits = network.run(&[&INPUT]).remove(0);
        let (maps, part) = ClassMaps::of(&network).unwrap();
        assert_eq!((part.layers.len(), maps.shape(), maps.classes()), (0, MAP, 2));
        let features = part.run(&[&INPUT]).remove(0);
        assert_eq!(features, [1.25, 2.25, 0.25, 0.25, 0.25, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(maps.map(&features, 0), [-2.75, 2.25, 0.25, -1.75, 0.25, 0.0]);
        for (class, logit) in logits.into_iter().enumerate() {
            let mean = maps.map(&features, class).iter().map(|value| f64::from(*value)).sum::<f64>() / 6.0;
            assert!((mean + maps.bias(class) - f64::from(logit)).abs() < 1e-5, "{mean} for {logit}");
        }
    }

    /// The same in quantized values: zero points of values, means and weights.
    #[test]
    fn zero_points_are_taken_off_at_each_place() {
        let bytes = |mul: f32, add: f32| Affine {
            low: 0.0,
            high: 255.0,
            round: true,
            ..Affine::linear(vec![mul; 2], vec![add; 2])
        };
        let mut network = network();
        // Values have a scale of 1/8 and a zero point of 16, means one of 1/32 and of 3.
        network.layers[0].reads[0].prologue = vec![bytes(8.0, 16.0)];
        network.layers[0].epilogue = vec![bytes(32.0 / (8.0 * 6.0), 3.0 - 16.0 * 32.0 / 8.0)];
        let values = vec![65, -128, 33, 64];
        let weights = ConvolutionWeights::Int8 { values, zero_points: vec![1, 0], input_zero_point: 3 };
        network.layers[1].op = Op::Convolution { window: Window::ONE, groups: 1, weights };
        network.layers[1].reads[0].prologue = vec![];
        network.layers[1].epilogue = vec![Affine::linear(vec![1.0 / 1024.0; 2], vec![0.5, -1.0])];
        let input: Vec<f32> = INPUT.iter().map(|value| value.max(0.0)).collect();
        let logits = network.run(&[&input]).remove(0);
        let (maps, part) = ClassMaps::of(&network).unwrap();
        let features = part.run(&[&input]).remove(0);
        assert_eq!(features[..3], [24.0, 32.0, 16.0]);
        for (class, logit) in logits.into_iter().enumerate() {
            let mean = maps.map(&features, class).iter().sum::<f32>() / 6.0;
            assert_eq!(maps.bias(class), [0.5, -1.0][class]);
            // The mean is rounded to 1/32, and counts 4 at most.
            assert!((mean - (logit - [0.5, -1.0][class])).abs() < 4.0 / 32.0, "class {class}: {mean} for {logit}");
        }
        // Where there is nothing, nothing speaks for or against a class.
        assert!(maps.map(&[16.0; 12], 0).iter().all(|value| value.abs() < 1e-5));
    }

    #[test]
    fn networks_that_end_otherwise_are_named() {
        let refused = |change: &dyn Fn(&mut FusedNetwork)| {
            let mut network = network();
            change(&mut network);
            let error = ClassMaps::of(&network).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            error.to_string()
        };
        let relu = Affine { low: 0.0, ..Affine::factor(1.0, 2) };
        for (message, expected) in [
            (refused(&|n| n.outputs[0].reads[0] = Read::all(1, vec![])), "ends in pool (sum_pool)"),
            (refused(&|n| n.outputs[0].reads[0] = Read::all(0, vec![])), "ends in its input"),
            (
                refused(&|n| n.layers[0].op = Op::MaxPool(Window::ONE)),
                "ends in head (conv), which reads pool (max_pool)",
            ),
            (
                refused(&|n| n.layers[0].op = Op::SumPool(Window { kernel: [1, 3], ..Window::ONE })),
                "which reads pool (sum_pool)",
            ),
            (refused(&|n| n.layers[1].op = Op::Add), "ends in head (add)"),
            (refused(&|n| n.layers[0].epilogue = vec![relu.clone()]), "a function between"),
            (refused(&|n| n.layers[1].epilogue = vec![relu.clone()]), "a function between"),
            (refused(&|n| n.outputs[0].reads.push(Read::all(1, vec![]))), "ends in a concatenation"),
            (refused(&|n| n.outputs.push(n.outputs[0].clone())), "ends in several outputs"),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }
}
