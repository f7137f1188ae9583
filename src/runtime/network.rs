//! The graph in tract: optimized, planned, run on one picture at a time.

use tract_core::internal::*;
use tract_linalg::multithread::Executor;

use super::executed::Execution;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::model::onnx::{OnnxFile, Opaque, Wanted};
use crate::optimize::optimized;

/// A planned graph: one f32 input `[1, 3, height, width]`, one f32 output.
pub(super) struct Network {
    plan: Arc<TypedSimplePlan>,
    input: [usize; 4],
    output: Vec<usize>,
    opaque: Vec<Opaque>,
}

impl Network {
    pub(super) fn new(file: &mut OnnxFile, threads: usize) -> Result<Self> {
        let refuse = |e: TractError| {
            // The innermost cause says which operator; the outer ones where in tract's own loading it was met.
            let reason = e.root_cause().to_string().replace('\n', " ");
            Error::new(ErrorKind::Model, format!("the graph cannot be run: {reason}")).caused_by(e)
        };
        let input = [1, 3, file.input.height, file.input.width];
        let fusion = file.fuse(Wanted::Int8);
        // Where no network was fused, all is tract's, and there is nothing to give reasons for.
        let opaque = if fusion.networks.is_empty() { Vec::new() } else { fusion.opaque };
        let model = optimized(&file.proto, fusion.networks, Kernels::chosen()?, &input).map_err(refuse)?;
        let fact = model.output_fact(0).map_err(refuse)?.clone();
        let output = fact.shape.as_concrete().map(<[usize]>::to_vec);
        let output =
            output.filter(|shape| fact.datum_type == f32::datum_type() && !shape.is_empty()).ok_or_else(|| {
                let message = format!("the graph's output is {fact:?}: Densight takes one f32 score for each class");
                Error::new(ErrorKind::Model, message)
            })?;
        // One thread is tract's plain executor; its multi-threaded one would start a pool.
        let executor = if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
        let options = RunOptions { executor: Some(executor), ..Default::default() };
        let plan = TypedSimplePlan::new_with_options(model, &options).map_err(refuse)?;
        Ok(Self { plan, input, output, opaque })
    }

    pub(super) fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    pub(super) fn output_shape(&self) -> &[usize] {
        &self.output
    }

    pub(super) fn execution(&self) -> Result<Execution> {
        Execution::of(self.plan.model(), &self.opaque).map_err(|e| {
            Error::new(ErrorKind::Model, format!("the graph cannot be listed: {}", e.root_cause())).caused_by(e)
        })
    }

    /// Runs one picture, as many values as the product of the input's shape.
    pub(super) fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        let run = || -> TractResult<Vec<f32>> {
            let input = Tensor::from_shape(&self.input, input)?;
            let outputs = self.plan.run(tvec!(input.into_tvalue()))?;
            Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        run().map_err(|e| {
            let reason = e.root_cause().to_string().replace('\n', " ");
            Error::new(ErrorKind::Model, format!("the network failed on this input: {reason}")).caused_by(e)
        })
    }
}
