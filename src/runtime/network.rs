//! What runs a model: an engine where the graph is one fused network, else tract.

mod timed;

pub use timed::StepClock;
use tract_core::internal::*;
use tract_core::runtime::{Runnable, Runtime};
use tract_linalg::multithread::Executor;
use tract_onnx::pb::ModelProto;

use super::executed::Execution;
use super::gpu::Gpu;
use super::options::SessionOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::caught;
use crate::kernels::Kernels;
use crate::model::Limits;
use crate::model::onnx::{Fusion, OnnxFile, Opaque, writer};
use crate::optimize::{Build, Engine, FusedOp, as_it_is, named, optimized, whole};

/// A planned network: one f32 input `[1, channels, height, width]`, one f32 output, and maybe features besides.
pub(crate) struct Network {
    runner: Runner,
    input: [usize; 4],
    output: Vec<usize>,
    /// Number of features, the second output.
    features: usize,
}

enum Runner {
    /// All of the graph is one fused network.
    Fused(FusedOp),
    /// tract runs the graph; some nodes may be fused networks, others were left out for these reasons.
    Graph { plan: Arc<TypedSimplePlan>, opaque: Vec<Opaque> },
    /// All of the graph is one fused network, which a GPU runs.
    Gpu(Box<Gpu>),
    /// Another of tract's runtimes runs it, on a device of its own.
    Device(Box<dyn Runnable>),
}

impl Network {
    /// Plans the graph of `file`, of whose outputs the network's is left. Where the file tells what is unknown, the means of the map that it
    /// goes by are the features.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a graph that cannot be run, or comes to more than its limits.
    pub(crate) fn new(file: &mut OnnxFile, threads: usize, stock: bool) -> Result<Self> {
        let input = shape(file);
        file.drop_other_outputs();
        let map = file.unknown.as_ref().map(|unknown| unknown.map.clone());
        map.map(|map| file.ask_for_means(&map)).transpose()?;
        let Fusion { networks, opaque, .. } = if stock { Fusion::default() } else { file.fuse()? };
        file.fold_constants()?;
        let how = Build { kernels: Kernels::from_env()?, threads, limits: *file.limits() };
        let model = optimized(&file.proto, networks, &how, &input).map_err(refuse)?;
        let output = output_shape(&model, &file.proto)?;
        let features = features(&model, file)?;
        if let Some(op) = whole(&model) {
            return Ok(Self { runner: Runner::Fused(op), input, output, features });
        }
        // One thread is tract's plain executor; its multi-threaded one would start a pool.
        let executor = if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
        let options = RunOptions { executor: Some(executor), ..Default::default() };
        let plan = TypedSimplePlan::new_with_options(model, &options).map_err(refuse)?;
        Ok(Self { runner: Runner::Graph { plan, opaque }, input, output, features })
    }

    /// The whole graph on a GPU, without features: by a plan of ours, or by tract's runtime and with the reason why. The option `stock` leaves
    /// it to tract.
    pub(super) fn on_gpu(
        file: &OnnxFile,
        runtime: &dyn Runtime,
        options: &SessionOptions,
    ) -> Result<(Self, Option<Error>)> {
        let input = shape(file);
        let mut why = None;
        if !options.stock {
            match Gpu::new(file.clone(), options.batch) {
                Ok(gpu) => {
                    let output = gpu.output_shape().to_vec();
                    return Ok((Self { runner: Runner::Gpu(Box::new(gpu)), input, output, features: 0 }, None));
                }
                Err(error) => why = Some(error),
            }
        }
        let mut file = file.clone();
        file.fold_constants()?;
        let model = as_it_is(&file.proto, &input).map_err(refuse)?;
        let output = output_shape(&model, &file.proto)?;
        // Where a device cannot be opened, its runtime panics.
        let prepared = caught(|| runtime.prepare(model).map_err(refuse)).map_err(|error| match error.kind() {
            ErrorKind::Fault => Error::new(ErrorKind::Device, format!("the GPU cannot be opened: {error}")),
            _ => error,
        });
        Ok((Self { runner: Runner::Device(prepared?), input, output, features: 0 }, why))
    }

    /// What an engine with one input and one output runs, and `features` of them besides.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for one with others, or with more activations than `limits` allow.
    pub(super) fn of(engine: Engine, features: usize, threads: usize, limits: &Limits) -> Result<Self> {
        let ([input], [output, others @ ..]) = (engine.inputs(), engine.outputs()) else {
            return Err(Error::new(ErrorKind::Model, "it has not one input and one output"));
        };
        let others: Vec<usize> = others.iter().map(|dims| classes(dims)).collect();
        if others != if features > 0 { vec![features] } else { vec![] } {
            return Err(Error::new(ErrorKind::Model, "it has other outputs than its scores and features"));
        }
        let (shape, output) = (input.shape, output.clone());
        if !(1..=MOST_CLASSES).contains(&classes(&output)) {
            let message = format!("its output is {output:?}: up to {MOST_CLASSES} classes are taken");
            return Err(Error::new(ErrorKind::Model, message));
        }
        let input = [1, shape.channels, shape.height, shape.width];
        Ok(Self { runner: Runner::Fused(FusedOp::of(engine, threads, limits)?), input, output, features })
    }

    /// The engine, where it is all there is.
    pub(super) fn into_engine(self) -> Option<Engine> {
        match self.runner {
            Runner::Fused(op) => op.into_engine(),
            Runner::Graph { .. } | Runner::Gpu(_) | Runner::Device(_) => None,
        }
    }

    pub(super) fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    pub(crate) fn output_shape(&self) -> &[usize] {
        &self.output
    }

    pub(crate) fn execution(&self) -> Result<Execution> {
        match &self.runner {
            Runner::Fused(op) => Ok(Execution::of_engine(op.engine())),
            Runner::Graph { plan, opaque } => Execution::of_graph(plan.model(), opaque).map_err(unlisted),
            Runner::Gpu(gpu) => Ok(gpu.execution()),
            Runner::Device(runnable) => {
                let model =
                    runnable.typed_model().ok_or_else(|| unlisted(format_err!("the device's runtime keeps it")))?;
                Execution::of_graph(model, &[]).map_err(unlisted)
            }
        }
    }

    /// How many features it gives of a picture, besides its output.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// Runs pictures, each as many values as the product of the input's shape, one behind the other, and writes the outputs, each as many
    /// as that of its shape; and as many features of each.
    ///
    /// # Panics
    /// If there is no room for as many features as the network gives.
    pub(crate) fn run(&self, input: &[f32], out: &mut [f32], features: &mut [f32]) -> Result<()> {
        let together = if let Runner::Gpu(gpu) = &self.runner { gpu.batch() } else { 1 };
        let [values, scores] = [&self.input[..], &self.output].map(|shape| together * shape.iter().product::<usize>());
        for (number, (input, out)) in input.chunks(values).zip(out.chunks_mut(scores)).enumerate() {
            // One picture at a time: there are none on a GPU.
            let features = &mut features[number * self.features..][..self.features];
            self.run_batch(input, out, features)?;
        }
        Ok(())
    }

    /// Runs what is computed together: on a GPU some pictures, else one. What comes out is finite.
    fn run_batch(&self, input: &[f32], out: &mut [f32], features: &mut [f32]) -> Result<()> {
        caught(|| self.compute(input, out, features))?;
        if let Some(at) = features.iter().position(|value| !value.is_finite()) {
            let message = format!("the network's feature {at} is {}: its weights are not usable", features[at]);
            return Err(Error::new(ErrorKind::Model, message));
        }
        match out.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let message = format!("the network's output {at} is {}: its weights are not usable", out[at]);
                Err(Error::new(ErrorKind::Model, message))
            }
        }
    }

    fn compute(&self, input: &[f32], out: &mut [f32], features: &mut [f32]) -> Result<()> {
        let tensor = || Tensor::from_shape(&self.input, input).map(IntoTValue::into_tvalue);
        let outputs = match &self.runner {
            Runner::Fused(op) => {
                match features {
                    [] => op.run_into(&[input], &mut [out]),
                    features => op.run_into(&[input], &mut [out, features]),
                }
                return Ok(());
            }
            Runner::Gpu(gpu) => return gpu.run(input, out),
            Runner::Graph { plan, .. } => tensor().and_then(|tensor| plan.run(tvec!(tensor))),
            Runner::Device(runnable) => tensor().and_then(|tensor| runnable.run(tvec!(tensor))),
        };
        outputs.and_then(|outputs| write(&outputs, [out, features])).map_err(failed)
    }

    /// Bytes that the fused network works in, if it is all of the graph.
    pub(super) fn memory_size(&self) -> Option<usize> {
        match &self.runner {
            Runner::Fused(op) => Some(op.memory_size()),
            Runner::Gpu(gpu) => Some(gpu.memory_size()),
            Runner::Graph { .. } | Runner::Device(_) => None,
        }
    }
}

/// Writes the values of each output.
fn write(outputs: &[TValue], to: [&mut [f32]; 2]) -> TractResult<()> {
    for (output, out) in outputs.iter().zip(to) {
        let values = output.to_plain_array_view::<f32>()?;
        ensure!(values.len() == out.len(), "it gave {} values for {}", values.len(), out.len());
        out.iter_mut().zip(values.iter()).for_each(|(out, value)| *out = *value);
    }
    Ok(())
}

/// A run that tract could not finish.
fn failed(e: TractError) -> Error {
    let e = named(e);
    let reason = e.root_cause().to_string().replace('\n', " ");
    Error::new(ErrorKind::Model, format!("the network failed on this input: {reason}")).caused_by(e)
}

fn shape(file: &OnnxFile) -> [usize; 4] {
    [1, file.input.channels, file.input.height, file.input.width]
}

fn refuse(e: TractError) -> Error {
    let e = match e.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(e) => e,
    };
    // The innermost cause says which operator; the outer ones where in tract's own loading it was met.
    let reason = e.root_cause().to_string().replace('\n', " ");
    Error::new(ErrorKind::Model, format!("the graph cannot be run: {reason}")).caused_by(e)
}

fn unlisted(e: TractError) -> Error {
    Error::new(ErrorKind::Model, format!("the graph cannot be listed: {}", e.root_cause())).caused_by(e)
}

/// The most classes: each has a label.
const MOST_CLASSES: usize = 1_000_000;

fn classes(shape: &[usize]) -> usize {
    shape.iter().fold(1, |all, &dim| all.saturating_mul(dim))
}

/// Number of features that the graph gives: as many as the file's detector takes.
fn features(model: &TypedModel, file: &OnnxFile) -> Result<usize> {
    let Some(unknown) = &file.unknown else { return Ok(0) };
    let count = unknown.detector.features();
    let fact = model.output_fact(1).map_err(refuse)?;
    let fits = fact.shape.as_concrete().is_some_and(|shape| shape == [1, count]);
    if fits && fact.datum_type == f32::datum_type() {
        return Ok(count);
    }
    let message =
        format!("the feature map {} is not one of {count} channels, as what is unknown is told by", unknown.map);
    Err(Error::new(ErrorKind::Model, message))
}

/// The shape of the one output, which must be f32.
fn output_shape(model: &TypedModel, proto: &ModelProto) -> Result<Vec<usize>> {
    let fact = model.output_fact(0).map_err(refuse)?;
    let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
    let fits = |shape: &Vec<usize>| !shape.is_empty() && (1..=MOST_CLASSES).contains(&classes(shape));
    shape.filter(|shape| fact.datum_type == f32::datum_type() && fits(shape)).ok_or_else(|| {
        let message = format!(
            "the graph's output is {fact:?}: Densight takes one f32 score for each of up to {MOST_CLASSES} classes"
        );
        let output = proto.graph.iter().flat_map(|graph| &graph.output).next();
        let error = Error::new(ErrorKind::Model, message);
        match output {
            Some(output) => error.at(writer(proto, &output.name)),
            None => error,
        }
    })
}
