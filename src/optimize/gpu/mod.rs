//! A float network as a list of tasks for a GPU: plain data, made and checked without a GPU.
//!
//! Values are f16, pixel by pixel; segments that are read together lie in one region whose pixels have room for all their
//! channels, so that a dense block is one buffer that fills up. Each channel count is rounded up to a multiple of four.

mod layout;
mod pack;

use half::f16;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::cuda::{
    AffineParams, BufferSizes, ConvolveParams, GpuTask, LoadParams, PoolParams, Program, WindowParams,
};
use crate::model::fused::{self, ConvolutionWeights, FusedNetwork, Layer, Op, Read};
use crate::quant;
use layout::{GpuLayout, behind};
use pack::{Params, pack};

use super::rewrite;

const INT8: &str = "it computes in int8";

/// A network's tasks for a number of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The tasks and their data.
    pub program: Program,
    /// For each task the name of its layer; the first is the input's.
    pub names: Vec<String>,
    /// For each task its multiply-adds for one image; `None` unless it is a convolution.
    pub macs: Vec<Option<u64>>,
    /// Values of the result for an image.
    pub classes: usize,
    /// Its extents, as the file has them.
    pub output: Vec<usize>,
}

impl Plan {
    /// A plan for `images` images at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a network that the GPU kernels do not support: int8, several inputs or outputs, an output with
    /// rows and columns or of a pool, more than one affine between two layers, more values than 32-bit indices reach.
    pub fn new(network: &FusedNetwork, images: usize) -> Result<Self> {
        if let Some(layer) = network.layers.iter().find(|layer| layer.is_int8()) {
            return Err(unfit(&layer.name, INT8));
        }
        if let Some(layer) = network.layers.iter().find(|l| l.reads.iter().any(|read| !read.channels.is_empty())) {
            return Err(unfit(&layer.name, "it reads some channels of a segment"));
        }
        let mut network = network.clone();
        rewrite::fold_norms(&mut network);
        rewrite::pool_first(&mut network);
        affines_to_writers(&mut network);
        let ([input], [output]) = (network.inputs.as_slice(), network.outputs.as_slice()) else {
            return Err(unfit("the network", "it has several inputs or outputs"));
        };
        let result = match output.reads.as_slice() {
            [read] if *read == Read::all(read.segment, vec![]) && network.shape(read.segment).area() == 1 => {
                read.segment
            }
            _ => return Err(unfit(&output.name, "an output must be what one layer wrote, one number for each class")),
        };
        if network.layers.iter().flat_map(|layer| &layer.reads).any(|read| read.segment == result) {
            return Err(unfit(&output.name, "an output must not be read by a layer"));
        }
        let (input, classes) = (input.shape, network.shape(result).channels);
        let layout = GpuLayout::new(&network, images, result)?;
        let mut builder =
            Builder { network: &network, layout: &layout, images, weights: Vec::new(), params: Params::default() };
        let to = layout.places[0];
        let sides = [input.channels, input.area(), images, to.start, to.stride].map(|number| number as u32);
        let [channels, area, count, start, stride] = sides;
        let mut tasks = vec![GpuTask::Load(LoadParams { channels, area, images: count, to: start, to_stride: stride })];
        for (number, layer) in network.layers.iter().enumerate() {
            tasks.push(builder.task(layer, 1 + number, result)?);
        }
        let names = std::iter::once("input".to_owned()).chain(network.layers.iter().map(|layer| layer.name.clone()));
        let macs = std::iter::once(None).chain(network.layers.iter().map(|layer| layer.macs(&network)));
        let (weights, params) = (builder.weights, builder.params.values);
        let sizes = BufferSizes {
            arena: layout.size,
            weights: weights.len(),
            params: params.len(),
            images: images * input.len(),
            results: images * classes,
        };
        // Tasks hold indices of 32 bits.
        let lengths = [sizes.arena, sizes.weights, sizes.params, sizes.images];
        let program = Program { tasks, weights, params, sizes };
        if lengths.iter().any(|&length| u32::try_from(length).is_err()) || !program.fits() {
            return Err(unfit("the network", "it is too large"));
        }
        Ok(Self { program, names: names.collect(), macs: macs.collect(), classes, output: output.dims.clone() })
    }
}

/// Moves the prologue of a segment's only reader to its writer: it is then computed once for each value, not for each window
/// over it.
fn affines_to_writers(network: &mut FusedNetwork) {
    for number in 0..network.layers.len() {
        let Some(reader) = rewrite::only_reader(network, network.inputs.len() + number) else { continue };
        if network.layers[number].epilogue.is_empty() {
            network.layers[number].epilogue = std::mem::take(&mut network.layers[reader].reads[0].prologue);
        }
    }
}

fn unfit(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Model, format!("{name}: {why}"))
}

struct Builder<'a> {
    network: &'a FusedNetwork,
    layout: &'a GpuLayout,
    images: usize,
    weights: Vec<f16>,
    params: Params,
}

impl Builder<'_> {
    /// The task of a layer, which writes `segment`.
    fn task(&mut self, layer: &Layer, segment: usize, result: usize) -> Result<GpuTask> {
        let failed = |why: &str| unfit(&layer.name, why);
        let from = self.layout.joined(&layer.reads).ok_or_else(|| failed("what it reads is not together"))?;
        let read = self.read(&layer.reads).map_err(failed)?;
        let (to, outputs) = (self.layout.places[segment], layer.output.channels);
        // The zeros that pad groups are written too: readers of the segment read them.
        let written = &self.layout.lanes[segment];
        let channels = behind(self.network, &self.layout.lanes, &layer.reads);
        let groups = channels.len() / 4;
        let pool = |builder: &mut Self, window: &fused::Window, greatest: u32| {
            let write = builder.params.affine(&layer.epilogue, |affine| spread(affine, written)).map_err(failed)?;
            let window = builder.window(window, layer);
            let [from_stride, to_stride, groups] = [from.stride, to.stride, groups].map(|n| n as u32);
            let (from, to) = (from.start as u32, to.start as u32);
            Ok(GpuTask::Pool(PoolParams { window, from, from_stride, groups, read, write, to, to_stride, greatest }))
        };
        match &layer.op {
            Op::MaxPool(_) | Op::SumPool(_) if segment == result => Err(failed("a pool gives the network's results")),
            Op::SumPool(window) if window.padding != [0; 4] => Err(failed("it sums over padding")),
            Op::MaxPool(window) => pool(self, window, 1),
            Op::SumPool(window) => pool(self, window, 0),
            Op::Add | Op::Multiply => Err(failed("it combines two branches")),
            Op::Normalize { .. } => Err(failed("it normalizes pixels over their channels")),
            Op::Convolution { groups, .. } if *groups > 1 => Err(failed("a convolution has groups")),
            Op::Convolution { window, .. } if window.dilation != [1, 1] || window.border != fused::Border::Zero => {
                Err(failed("a window is dilated, or mirrors"))
            }
            Op::Convolution { window, weights, .. } => {
                let ConvolutionWeights::Float { values, bias } = weights else { return Err(failed(INT8)) };
                let first = self.weights.len();
                self.weights.extend(pack(values, window.len(), &channels, outputs));
                let write = self.params.biased(bias, &layer.epilogue, written.len()).map_err(failed)?;
                let to_results = u32::from(segment == result);
                let outputs = if segment == result { outputs } else { written.len() };
                let [from_stride, to_stride, groups, outputs] =
                    [from.stride, to.stride, groups, outputs].map(|n| n as u32);
                let (from, to, weights) = (from.start as u32, to.start as u32, first as u32);
                let window = self.window(window, layer);
                let task = ConvolveParams {
                    window,
                    from,
                    from_stride,
                    groups,
                    read,
                    weights,
                    write,
                    outputs,
                    to,
                    to_stride,
                    to_results,
                };
                Ok(GpuTask::Convolve(task))
            }
        }
    }

    /// One affine for all segments that are read.
    fn read(&mut self, reads: &[Read]) -> Result<AffineParams, &'static str> {
        let bounds = |read: &Read| read.prologue.first().map(|affine| (affine.low, affine.high));
        if reads.iter().any(|read| read.prologue.len() > 1 || bounds(read) != bounds(&reads[0])) {
            return Err("segments are read in different ways");
        }
        let Some((low, high)) = bounds(&reads[0]) else { return Ok(Params::NO_STEP) };
        let function = reads[0].prologue[0].function.clone();
        if reads.iter().any(|read| read.prologue[0].function != function) {
            return Err("segments are read in different ways");
        }
        let (mut mul, mut add, mut round) = (Vec::new(), Vec::new(), false);
        for read in reads {
            let affine = spread(&read.prologue[0], &self.layout.lanes[read.segment]);
            mul.extend(affine.mul);
            add.extend(affine.add);
            round |= affine.round;
        }
        self.params.affine(&[quant::Affine { mul, add, low, high, function, round }], quant::Affine::clone)
    }

    fn window(&self, window: &fused::Window, layer: &Layer) -> WindowParams {
        let input = self.network.input_shape(layer);
        let [kernel_height, kernel_width] = window.kernel.map(|n| n as u32);
        let [stride_height, stride_width] = window.stride.map(|n| n as u32);
        let [top, left, _, _] = window.padding.map(|n| n as u32);
        let sides = [input.height, input.width, layer.output.height, layer.output.width].map(|n| n as u32);
        let [height, width, out_height, out_width] = sides;
        let pixels = (self.images * layer.output.area()) as u32;
        WindowParams {
            kernel_height,
            kernel_width,
            stride_height,
            stride_width,
            top,
            left,
            height,
            width,
            out_height,
            out_width,
            pixels,
        }
    }
}

/// An affine over lanes; lanes without a channel become 0.
fn spread(affine: &quant::Affine, lanes: &[Option<usize>]) -> quant::Affine {
    let each = |of: &[f32]| lanes.iter().map(|lane| lane.map_or(0.0, |channel| of[channel])).collect();
    quant::Affine { mul: each(&affine.mul), add: each(&affine.add), ..affine.clone() }
}
