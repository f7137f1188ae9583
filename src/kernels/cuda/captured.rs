//! Tasks on the GPU that is there, recorded once as one CUDA graph.

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaSlice, CudaStream, DeviceRepr, DriverError, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::Ptx;

use super::{ConvolveParams, GpuTask, LoadParams, PoolParams, Program, compiled};
use crate::error::{Error, ErrorKind, Result};

/// The kernels multiply by `mma.m16n8k16`, which GPUs have from Ampere and Jetson Orin on.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

// SAFETY: structs of 32-bit words without padding, which `dense.cu` declares in the same order.
unsafe impl DeviceRepr for LoadParams {}
// SAFETY: a struct of 32-bit words without padding, which `dense.cu` declares in the same order.
unsafe impl DeviceRepr for ConvolveParams {}
// SAFETY: a struct of 32-bit words without padding, which `dense.cu` declares in the same order.
unsafe impl DeviceRepr for PoolParams {}

/// A program on a GPU, with all its memory. It is freed with it.
pub struct CapturedGraph {
    // Fields are dropped in this order: the graph before what its tasks refer to.
    graph: CudaGraph,
    arrays: Arrays,
    _functions: Vec<CudaFunction>,
    stream: Arc<CudaStream>,
}

// SAFETY: a graph may move between threads but must not be used by two at once: `run` borrows it exclusively, and binds the context to the
// thread that calls it.
unsafe impl Send for CapturedGraph {}

struct Arrays {
    arena: CudaSlice<u16>,
    weights: CudaSlice<u16>,
    params: CudaSlice<f32>,
    images: CudaSlice<f32>,
    results: CudaSlice<f32>,
}

impl CapturedGraph {
    /// Compiles the kernels, unless an earlier start did, takes the memory and records the tasks.
    ///
    /// # Errors
    /// [`ErrorKind::Device`]: a library is missing, no GPU is there, it is too old or lacks memory.
    ///
    /// # Panics
    /// If a task leaves the program's arrays ([`Program::fits`]).
    pub fn new(program: &Program) -> Result<Self> {
        assert!(program.fits(), "each task is within the program's arrays");
        check_libraries()?;
        let context = CudaContext::new(0).map_err(failed("cannot be opened"))?;
        // SAFETY: all arrays are used on one stream, in the order of its tasks: nothing has to wait for events.
        unsafe { context.disable_event_tracking() };
        let capability = context.compute_capability().map_err(failed("does not tell what it is"))?;
        if capability < LEAST_CAPABILITY {
            let ((major, minor), (least, and)) = (capability, LEAST_CAPABILITY);
            let message = format!("its compute capability is {major}.{minor}, the kernels need {least}.{and}");
            return Err(Error::new(ErrorKind::Device, message));
        }
        let stream = context.new_stream().map_err(failed("gives no stream"))?;
        let functions = functions(&context, capability, program)?;
        let mut arrays = Arrays::new(&stream, program).map_err(failed("lacks memory for the network"))?;
        let mut launch_all =
            || program.tasks.iter().zip(&functions).try_for_each(|(task, f)| launch(&stream, f, task, &mut arrays));
        // Run once before capturing: the first launch loads the kernels, which must not happen during capture.
        launch_all().and_then(|()| stream.synchronize()).map_err(failed("does not run the kernels"))?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.begin_capture(mode).map_err(failed("records nothing"))?;
        let launched = launch_all();
        // Even after an error, or the stream would stay in capture mode.
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        launched.map_err(failed("does not record the kernels"))?;
        let graph = graph.map_err(failed("does not take the graph"))?;
        let graph = graph.ok_or_else(|| Error::new(ErrorKind::Device, "the GPU recorded no graph"))?;
        Ok(Self { graph, arrays, _functions: functions, stream })
    }

    /// Runs all tasks on `images`, f32 `[images, channels, area]`, writes as many results, and waits for them. There may be
    /// fewer images than the program is for: the remaining places hold old values, and their results are not fetched.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] with CUDA's reason.
    ///
    /// # Panics
    /// If there are more values than the program has room for.
    pub fn run(&mut self, images: &[f32], results: &mut [f32]) -> Result<()> {
        let Arrays { images: input, results: output, .. } = &mut self.arrays;
        assert!(images.len() <= input.len() && results.len() <= output.len(), "as many as the program is for, at most");
        let Self { graph, stream, .. } = self;
        let mut run = || {
            stream.memcpy_htod(images, input)?;
            graph.launch()?;
            stream.memcpy_dtoh(&output.slice(..results.len()), results)?;
            stream.synchronize()
        };
        run().map_err(failed("failed on this input"))
    }
}

impl Arrays {
    fn new(stream: &Arc<CudaStream>, program: &Program) -> Result<Self, DriverError> {
        let weights: Vec<u16> = program.weights.iter().map(|weight| weight.to_bits()).collect();
        Ok(Self {
            arena: stream.alloc_zeros(program.sizes.arena)?,
            weights: stream.clone_htod(&weights)?,
            params: stream.clone_htod(&program.params)?,
            images: stream.alloc_zeros(program.sizes.images)?,
            results: stream.alloc_zeros(program.sizes.results)?,
        })
    }
}

/// The kernel of each task.
fn functions(context: &Arc<CudaContext>, capability: (i32, i32), program: &Program) -> Result<Vec<CudaFunction>> {
    let ptx = compiled::ptx(capability, compiled::folder().as_deref())?;
    let module = context.load_module(Ptx::from_src(ptx)).map_err(failed("does not take the kernels"))?;
    let function = |task: &GpuTask| module.load_function(task.launch().kernel).map_err(failed("lacks a kernel"));
    program.tasks.iter().map(function).collect()
}

/// Launches a task on the stream.
fn launch(
    stream: &Arc<CudaStream>,
    function: &CudaFunction,
    task: &GpuTask,
    arrays: &mut Arrays,
) -> Result<(), DriverError> {
    let Arrays { arena, weights, params, images, results } = arrays;
    let launch = task.launch();
    let [across, down] = launch.grid;
    let config = LaunchConfig { grid_dim: (across, down, 1), block_dim: (launch.threads, 1, 1), shared_mem_bytes: 0 };
    let mut builder = stream.launch_builder(function);
    match task {
        GpuTask::Load(task) => builder.arg(arena).arg(&*images).arg(task),
        GpuTask::Convolve(task) => builder.arg(arena).arg(&*weights).arg(&*params).arg(results).arg(task),
        GpuTask::Pool(task) => builder.arg(arena).arg(&*params).arg(task),
    };
    // SAFETY: `dense.cu` declares the kernel with these arguments, and the task is within these arrays: `CapturedGraph::new` checked.
    unsafe { builder.launch(config) }.map(drop)
}

/// Checks for the libraries, because opening a missing one would panic.
fn check_libraries() -> Result<()> {
    // SAFETY: they open a library and close it again.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    match (driver, compiler) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::new(ErrorKind::Device, "NVIDIA's driver (libcuda) is missing")),
        (_, false) => Err(Error::new(ErrorKind::Device, "CUDA's compiler (libnvrtc) is missing")),
    }
}

fn failed(operand: &str) -> impl Fn(DriverError) -> Error {
    move |error| {
        let message = format!("the GPU {operand}: {}", error.to_string().replace('\n', " "));
        Error::new(ErrorKind::Device, message).caused_by(error)
    }
}
