//! A float network that a GPU runs by a plan of ours.

use std::sync::Mutex;

use super::executed::{ComputeType, Executed, Execution, Kernel, Operation};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::cuda::{CapturedGraph, GpuTask};
use crate::model::fused::OpKind;
use crate::model::onnx::OnnxFile;
use crate::optimize::gpu::Plan;

/// A network on a GPU.
pub(super) struct Gpu {
    captured: Mutex<CapturedGraph>,
    batch: usize,
    listing: Vec<Executed>,
    output: Vec<usize>,
    memory: usize,
}

impl Gpu {
    /// The network of `file`, if it is all of the graph, for so many images at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] with what no plan is made for, [`ErrorKind::Device`] with what the GPU lacks.
    pub(super) fn new(mut file: OnnxFile, images: usize) -> Result<Self> {
        let fusion = file.fuse()?;
        let nodes = file.proto.graph.as_ref().map_or(0, |graph| graph.node.len());
        let network = match fusion.networks.as_slice() {
            [network] if nodes == 1 => network,
            _ => return Err(Error::new(ErrorKind::Model, "the graph is more than one network")),
        };
        let plan = Plan::new(network, images)?;
        let captured = Mutex::new(CapturedGraph::new(&plan.program)?);
        let listing = listing(&plan);
        let memory = 2 * plan.program.sizes.arena;
        Ok(Self { captured, batch: images, listing, output: plan.output, memory })
    }

    pub(super) fn output_shape(&self) -> &[usize] {
        &self.output
    }

    pub(super) fn execution(&self) -> Execution {
        Execution::new(self.listing.clone(), &[])
    }

    /// Bytes between the layers, on the GPU.
    pub(super) fn memory_size(&self) -> usize {
        self.memory
    }

    /// How many images it computes together.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Runs as many images, or fewer.
    pub(super) fn run(&self, input: &[f32], out: &mut [f32]) -> Result<()> {
        // A run that panicked leaves nothing half done: each writes all there is.
        self.captured.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).run(input, out)
    }
}

/// What is launched, in order.
fn listing(plan: &Plan) -> Vec<Executed> {
    let computes = |task: &GpuTask| match task {
        GpuTask::Load(_) => Operation::Load,
        GpuTask::Convolve(_) => Operation::Layer(OpKind::Convolution),
        GpuTask::Pool(task) if task.greatest != 0 => Operation::Layer(OpKind::MaxPool),
        GpuTask::Pool(_) => Operation::Layer(OpKind::SumPool),
    };
    let each = plan.program.tasks.iter().zip(&plan.names).zip(&plan.macs);
    each.map(|((task, name), macs)| Executed {
        node: name.clone(),
        op: computes(task),
        r#type: ComputeType::F16,
        kernel: Kernel::Cuda(task.launch().kernel),
        macs: macs.unwrap_or(0),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a DenseNet's graph is planned: what is missing then is a GPU, if it is.
    #[test]
    fn only_a_gpu_is_missing() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = |name: &str| OnnxFile::parse(&std::fs::read(root.join(name)).unwrap()).unwrap();
        let ours = ["models/cifar10_densenet_bc_L40_k12.onnx", "models/hand_signs_densenet_bc_L40_k12.onnx"];
        for model in ours {
            if let Err(error) = Gpu::new(file(model), 2) {
                assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            }
        }
        let error = Gpu::new(file("models/cifar10_densenet_bc_L40_k12_int8.onnx"), 1).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.to_string().ends_with("it computes in int8"), "{error}");
    }
}
