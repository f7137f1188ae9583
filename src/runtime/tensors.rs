//! The values of some tensors inside a graph, for those who calibrate with them.

use tract_core::internal::*;
use tract_onnx::pb::ValueInfoProto;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernels;
use crate::model::onnx::OnnxFile;
use crate::optimize::{Build, optimized};

/// A graph that gives some of its inner tensors, as f32.
pub(crate) struct Tensors {
    plan: Arc<TypedSimplePlan>,
    input: [usize; 4],
}

impl Tensors {
    /// Plans what gives `names`, in this order.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a graph that cannot be run.
    pub(crate) fn new(file: &OnnxFile, names: &[&str]) -> Result<Self> {
        let mut file = file.clone();
        if let Some(graph) = &mut file.proto.graph {
            let output = |name: &&str| ValueInfoProto { name: (*name).into(), ..Default::default() };
            graph.output = names.iter().map(output).collect();
        }
        let networks = file.fuse()?.networks;
        file.fold_constants()?;
        let how = Build { kernels: Kernels::from_env()?, threads: 1, limits: *file.limits() };
        let input = [1, file.input.channels, file.input.height, file.input.width];
        let model = optimized(&file.proto, networks, &how, &input).map_err(failed)?;
        let options =
            RunOptions { executor: Some(tract_linalg::multithread::Executor::SingleThread), ..Default::default() };
        let plan = TypedSimplePlan::new_with_options(model, &options).map_err(failed)?;
        Ok(Self { plan, input })
    }

    /// The tensors' extents, in the order of the names; empty where they are not known.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a plan without outputs.
    pub(crate) fn shapes(&self) -> Result<Vec<Vec<usize>>> {
        let model = self.plan.model();
        let shape = |outlet: &OutletId| {
            let fact = model.outlet_fact(*outlet)?;
            Ok(fact.shape.as_concrete().map_or_else(Vec::new, <[usize]>::to_vec))
        };
        let outlets = model.output_outlets().map_err(failed)?;
        outlets.iter().map(shape).collect::<TractResult<_>>().map_err(failed)
    }

    /// The tensors' values for one picture, already in the input's form.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where the graph fails on it, or a tensor is not of f32.
    pub(crate) fn run(&self, picture: &[f32]) -> Result<Vec<Vec<f32>>> {
        let run = || {
            let input = Tensor::from_shape(&self.input, picture)?.into_tvalue();
            let outputs = self.plan.run(tvec!(input))?;
            let values = |tensor: &TValue| Ok(tensor.to_plain_array_view::<f32>()?.iter().copied().collect());
            outputs.iter().map(values).collect::<TractResult<Vec<Vec<f32>>>>()
        };
        run().map_err(failed)
    }
}

fn failed(e: TractError) -> Error {
    let e = match e.downcast::<Error>() {
        Ok(ours) => return ours,
        Err(e) => e,
    };
    let reason = e.root_cause().to_string().replace('\n', " ");
    Error::new(ErrorKind::Model, format!("the graph cannot be run: {reason}")).caused_by(e)
}
