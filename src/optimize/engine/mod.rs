//! Runs a fused network with the kernels. Int8 results equal those of [`FusedNetwork::run`] bit for bit.
//!
//! When an engine is made, memory is planned ([`memory_plan`]), weights are packed, and each layer is lowered to a task; a run
//! allocates nothing. A layer's input goes through its prologue in tiles that stay in the cache ([`input`]); a 3x3 reads its
//! input where the 1x1 before it wrote it, padding included ([`halo`]), or transforms it from there ([`winograd_int8`]). Threads take a task's tiles from a queue.

mod check;
mod combine;
mod convolve;
mod convolve_f32;
mod depthwise;
mod divide;
mod gather;
mod halo;
mod im2row;
mod input;
mod int8_tiles;
mod io;
mod k_steps;
mod layer_info;
mod lower;
mod lowering;
mod memory;
mod memory_plan;
mod normalize;
mod operator;
mod operators;
mod padded_rows;
mod pick;
mod pool;
mod pool_window;
mod prologue;
mod results;
mod segments;
mod sharing;
mod task;
mod winograd;
mod winograd_int8;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kernels::{Blob, Isa, Kernels};
use crate::model::fused::{FusedNetwork, Input};
use check::ensure;
use io::{LoadInput, StoreOutput};
use layer_info::LayerInfo;
pub use layer_info::{Step, Traffic};
use lowering::Lowering;
pub use memory::Memory;
use memory::ScratchSize;
use memory_plan::memory_plan;
use task::Task;

/// A fused network, ready to run. It can be serialized, without its weights ([`Engine::blobs`]), and read again by the same
/// version of the program on a processor with the same instruction set.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    isa: Isa,
    inputs: Vec<Input>,
    layers: Vec<LayerInfo>,
    /// Extents of each output.
    outputs: Vec<Vec<usize>>,
    loads: Vec<LoadInput>,
    tasks: Vec<Task>,
    stores: Vec<StoreOutput>,
    /// Bytes of all quantized values, and number of all f32 values.
    arena: (usize, usize),
    scratch: ScratchSize,
}

impl Engine {
    /// An engine for `network` that computes with `kernels`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] if the network cannot be run; see [`FusedNetwork::check`].
    pub fn new(network: &FusedNetwork, kernels: Kernels) -> Result<Self> {
        network.check()?;
        let segments = segments::segments(network, kernels);
        let plan = memory_plan(network, &segments);
        let lowering = Lowering { network, segments: &segments, places: &plan.places, kernels };
        let inputs = network.inputs.len();
        let loads: Vec<LoadInput> =
            (0..inputs).map(|input| LoadInput::new(&segments[input], plan.places[input])).collect();
        let (mut tasks, mut layers) = (Vec::new(), Vec::new());
        for (layer, written) in network.layers.iter().zip(inputs..) {
            let mut task = lower::lower(lowering, layer, written)?;
            let weights = task.blobs().iter().filter_map(Blob::bytes).sum::<usize>() as u64;
            layers.push(LayerInfo::of(lowering, layer, written, weights));
            tasks.push(task);
        }
        let stores: Vec<StoreOutput> =
            network.outputs.iter().map(|output| StoreOutput::new(lowering, output)).collect();
        let scratch = Self::scratch(&loads, &tasks, &stores);
        Ok(Self {
            isa: kernels.isa(),
            inputs: network.inputs.clone(),
            layers,
            outputs: network.outputs.iter().map(|output| output.dims.clone()).collect(),
            loads,
            tasks,
            stores,
            arena: (plan.bytes, plan.floats),
            scratch,
        })
    }

    /// Checks that `kernels` can run it: an engine read from a file is untrusted. Returns the approximate multiply-adds for one
    /// image, or the contradiction found.
    pub(crate) fn check(&self, kernels: Kernels) -> Result<u64, &'static str> {
        let Self { isa, inputs, layers, outputs, loads, tasks, stores, arena, scratch } = self;
        ensure(*isa == kernels.isa(), "an engine for another instruction set")?;
        let counts = [inputs.len(), layers.len(), outputs.len()];
        ensure(counts == [loads.len(), tasks.len(), stores.len()], "layers without a description")?;
        let mut all = 0u64;
        for (input, load) in inputs.iter().zip(loads) {
            all = all.saturating_add(load.check(input.shape, *arena)?);
        }
        for (layer, task) in layers.iter().zip(tasks) {
            all = all.saturating_add(task.check(kernels, *arena, layer)?);
        }
        for (dims, store) in outputs.iter().zip(stores) {
            all = all.saturating_add(store.check(dims, *arena)?);
        }
        // Its inputs were checked above.
        ensure(*scratch == Self::scratch(loads, tasks, stores), "scratch of another size")?;
        Ok(all)
    }

    /// Scratch that a thread needs.
    fn scratch(loads: &[LoadInput], tasks: &[Task], stores: &[StoreOutput]) -> ScratchSize {
        let needs = loads.iter().map(LoadInput::scratch).chain(tasks.iter().map(Task::scratch));
        needs.chain(stores.iter().map(StoreOutput::scratch)).fold(ScratchSize::default(), ScratchSize::max)
    }

    /// All packed weights, which are stored apart.
    pub fn blobs(&mut self) -> impl Iterator<Item = Blob<'_>> {
        self.tasks.iter_mut().flat_map(Task::blobs)
    }

    /// The instruction set it is for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Its inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Its layers, in order.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// Extents of each output.
    pub fn outputs(&self) -> &[Vec<usize>] {
        &self.outputs
    }

    /// Memory for runs, and `threads` threads, the caller's included.
    ///
    /// # Panics
    /// If `threads` is 0, a thread cannot be started, or the processor lacks [`Engine::isa`].
    pub fn memory(&self, threads: usize) -> Memory {
        let kernels = Kernels::new(self.isa).expect("who reads an engine looks whether the processor can run it");
        let mut memory = Memory::new(kernels, self.arena, self.scratch, threads);
        memory.loadings = self.loads.iter().map(|load| load.sharing(threads)).collect();
        memory.sharings = self.tasks.iter().map(|task| task.sharing(kernels, threads)).collect();
        memory
    }

    /// Bytes of [`Engine::memory`] for `threads` threads; `None` on overflow.
    pub fn memory_size(&self, threads: usize) -> Option<u64> {
        Memory::size_of(self.arena, self.scratch, threads)
    }

    /// The outputs for one image; `inputs` holds the values of each input, as many as its shape has.
    ///
    /// # Panics
    /// As [`Engine::run_into`].
    pub fn run(&self, inputs: &[&[f32]], memory: &mut Memory) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = self.stores.iter().map(|store| vec![0.0; store.len()]).collect();
        let mut places: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.run_into(inputs, memory, &mut places);
        outputs
    }

    /// Writes the outputs for one image to `outputs`, and allocates nothing.
    ///
    /// # Panics
    /// If the number of inputs or of an input's values is not the network's, if that of the outputs or of an output's values is not, or if
    /// `memory` belongs to another engine.
    pub fn run_into(&self, inputs: &[&[f32]], memory: &mut Memory, outputs: &mut [&mut [f32]]) {
        self.run_observed(inputs, memory, outputs, || ());
    }

    /// As [`Engine::run_into`], with a call of `done` after each of [`Engine::steps`].
    ///
    /// # Panics
    /// As [`Engine::run_into`].
    pub fn run_observed(
        &self,
        inputs: &[&[f32]],
        memory: &mut Memory,
        outputs: &mut [&mut [f32]],
        mut done: impl FnMut(),
    ) {
        assert_eq!(inputs.len(), self.loads.len(), "one value list for each input");
        assert_eq!(outputs.len(), self.stores.len(), "outputs");
        for (number, ((values, input), load)) in inputs.iter().zip(&self.inputs).zip(&self.loads).enumerate() {
            assert_eq!(values.len(), input.shape.len(), "values of input {}", input.name);
            load.run(number, values, memory);
            done();
        }
        for (number, task) in self.tasks.iter().enumerate() {
            task.run(number, memory);
            done();
        }
        for (store, out) in self.stores.iter().zip(outputs) {
            assert_eq!(out.len(), store.len(), "values of the output");
            store.run(memory, out);
            done();
        }
    }

    /// What a run does, in order: inputs are loaded, layers are computed, outputs are stored.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let loads = self.inputs.iter().zip(&self.loads).map(|(input, load)| Step::Load(&input.name, load.traffic()));
        let layers = self.layers.iter().zip(&self.tasks).map(|(layer, task)| Step::Layer(layer, task.algorithm()));
        let stores = self.stores.iter().map(|store| Step::Store(store.traffic()));
        loads.chain(layers).chain(stores)
    }
}

#[cfg(test)]
mod tests;
