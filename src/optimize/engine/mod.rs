//! Runs a fused network with the kernels: bit for bit what [`FusedNetwork::run`] says where it is int8, only faster.
//!
//! When an engine is made, every segment gets its place in one piece of memory ([`layout`]), weights are packed, and each
//! layer becomes a task; a run allocates nothing. What a layer reads is normed, rectified and encoded on the way to its
//! convolution, in parts that stay in the cache ([`input`]); a 3x3 finds its input where the 1x1 before it wrote it, padding
//! included ([`near`]). Threads take the parts of a task one after another.

mod check;
mod convolve;
mod ends;
mod input;
mod layout;
mod memory;
mod near;
mod pool;
mod reads;
mod real;
mod segments;
mod window;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kernels::{Blob, Isa, Kernels};
use crate::model::fused::{FusedNetwork, Input, Layer, Op, Weights};
use check::{Checked, ensure};
use convolve::Convolution;
use ends::{Load, Store};
use layout::{Place, layout};
pub use memory::Memory;
use memory::Need;
use pool::Pool;
use real::RealConvolution;
use segments::Segment;

/// A fused network, ready to run. It can be stored, all but its weights ([`Engine::blobs`]), and read again by the same version
/// of the program on a processor with the same instruction set.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    isa: Isa,
    inputs: Vec<Input>,
    layers: Vec<LayerInfo>,
    /// Extents of each output.
    outputs: Vec<Vec<usize>>,
    loads: Vec<Load>,
    tasks: Vec<Task>,
    stores: Vec<Store>,
    /// Bytes of all codes, and number of all real values.
    room: (usize, usize),
    need: Need,
}

/// What is known of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Name of the node it came from.
    pub name: String,
    /// What it computes: `conv`, `max_pool` or `sum_pool`.
    pub op: String,
    /// Whether it works on codes.
    pub int8: bool,
    /// Multiply-adds for one picture; 0 for pools.
    pub macs: u64,
}

/// A layer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Task {
    Convolution(Box<Convolution>),
    RealConvolution(Box<RealConvolution>),
    Pool(Box<Pool>),
}

/// What the builders of a task know.
#[derive(Clone, Copy)]
struct Site<'a> {
    network: &'a FusedNetwork,
    segments: &'a [Segment],
    places: &'a [Place],
    kernels: Kernels,
}

impl Engine {
    /// An engine for `network` that computes with `kernels`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] for a network that cannot be run; see [`FusedNetwork::check`].
    pub fn new(network: &FusedNetwork, kernels: Kernels) -> Result<Self> {
        network.check()?;
        let segments = segments::segments(network);
        let layout = layout(network, &segments);
        let site = Site { network, segments: &segments, places: &layout.places, kernels };
        let inputs = network.inputs.len();
        let loads: Vec<Load> = (0..inputs).map(|input| Load::new(&segments[input], layout.places[input])).collect();
        let layers = network.layers.iter().enumerate();
        let tasks =
            layers.map(|(number, layer)| Task::new(site, layer, inputs + number)).collect::<Result<Vec<_>>>()?;
        let stores: Vec<Store> = network.outputs.iter().map(|output| Store::new(site, output)).collect();
        let need = Self::need(&loads, &tasks, &stores);
        Ok(Self {
            isa: kernels.isa(),
            inputs: network.inputs.clone(),
            layers: network.layers.iter().map(|layer| LayerInfo::of(network, layer)).collect(),
            outputs: network.outputs.iter().map(|output| output.dims.clone()).collect(),
            loads,
            tasks,
            stores,
            room: (layout.bytes, layout.reals),
            need,
        })
    }

    /// Whether `kernels` can run it: an engine that was read from a file says whatever who wrote the file wanted. About how many
    /// multiply-adds it takes for one picture; or what contradicts what.
    pub(crate) fn check(&self, kernels: Kernels) -> Result<u64, &'static str> {
        let Self { isa, inputs, layers, outputs, loads, tasks, stores, room, need } = self;
        ensure(*isa == kernels.isa(), "an engine for another instruction set")?;
        let counts = [inputs.len(), layers.len(), outputs.len()];
        ensure(counts == [loads.len(), tasks.len(), stores.len()], "layers without a description")?;
        let mut all = 0u64;
        for (input, load) in inputs.iter().zip(loads) {
            all = all.saturating_add(load.check(input.shape, *room)?);
        }
        for (layer, task) in layers.iter().zip(tasks) {
            let work = task.check(kernels, *room)?;
            ensure(layer.describes(task) && layer.macs <= work, "a layer that is described as another")?;
            all = all.saturating_add(work);
        }
        for (dims, store) in outputs.iter().zip(stores) {
            all = all.saturating_add(store.check(dims, *room)?);
        }
        // All that goes into it was checked above.
        ensure(*need == Self::need(loads, tasks, stores), "scratch of another size")?;
        Ok(all)
    }

    /// Scratch that a thread needs.
    fn need(loads: &[Load], tasks: &[Task], stores: &[Store]) -> Need {
        let needs = loads.iter().map(Load::need).chain(tasks.iter().map(Task::need));
        needs.chain(stores.iter().map(Store::need)).fold(Need::default(), Need::max)
    }

    /// All packed weights, which are stored apart from all else.
    pub fn blobs(&mut self) -> impl Iterator<Item = Blob<'_>> {
        self.tasks.iter_mut().filter_map(|task| match task {
            Task::Convolution(task) => Some(task.blob()),
            Task::RealConvolution(task) => Some(task.blob()),
            Task::Pool(_) => None,
        })
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

    /// Memory to run in, and `threads` threads, the caller's among them.
    ///
    /// # Panics
    /// If there are no threads, or the system has none left, or the processor lacks [`Engine::isa`].
    pub fn memory(&self, threads: usize) -> Memory {
        let kernels = Kernels::new(self.isa).expect("who reads an engine looks whether the processor can run it");
        Memory::new(kernels, self.room, self.need, threads)
    }

    /// Bytes of [`Engine::memory`] for `threads` threads; `None` for more than can be counted.
    pub fn memory_size(&self, threads: usize) -> Option<u64> {
        Memory::size_of(self.room, self.need, threads)
    }

    /// The outputs for one picture; `inputs` are as many values as the inputs' shapes have.
    ///
    /// # Panics
    /// As [`Engine::run_into`].
    pub fn run(&self, inputs: &[&[f32]], memory: &mut Memory) -> Vec<Vec<f32>> {
        let mut outputs: Vec<Vec<f32>> = self.stores.iter().map(|store| vec![0.0; store.len()]).collect();
        self.run_layers(inputs, memory);
        self.stores.iter().zip(&mut outputs).for_each(|(store, out)| store.run(memory, out));
        outputs
    }

    /// Writes the only output for one picture to `out`, and allocates nothing.
    ///
    /// # Panics
    /// If there are not as many inputs, an input has another number of values, the network has another number of outputs,
    /// `out` another length than that, or `memory` is of another engine.
    pub fn run_into(&self, inputs: &[&[f32]], memory: &mut Memory, out: &mut [f32]) {
        let [store] = self.stores.as_slice() else { panic!("{} outputs, not one", self.stores.len()) };
        assert_eq!(out.len(), store.len(), "numbers of the output");
        self.run_layers(inputs, memory);
        store.run(memory, out);
    }

    fn run_layers(&self, inputs: &[&[f32]], memory: &mut Memory) {
        assert_eq!(inputs.len(), self.loads.len(), "one value list for each input");
        for ((values, input), load) in inputs.iter().zip(&self.inputs).zip(&self.loads) {
            assert_eq!(values.len(), input.shape.len(), "values of input {}", input.name);
            load.run(values, memory);
        }
        for task in &self.tasks {
            match task {
                Task::Convolution(task) => task.run(memory),
                Task::RealConvolution(task) => task.run(memory),
                Task::Pool(task) => task.run(memory),
            }
        }
    }
}

impl LayerInfo {
    fn of(network: &FusedNetwork, layer: &Layer) -> Self {
        let op = match layer.op {
            Op::Convolution { .. } => "conv",
            Op::MaxPool(_) => "max_pool",
            Op::SumPool(_) => "sum_pool",
        };
        let macs = layer.macs(network);
        let int8 = layer.is_int8() || macs.is_none() && layer.reads_codes(network);
        Self { name: layer.name.clone(), op: op.into(), int8, macs: macs.unwrap_or(0) }
    }
}

impl LayerInfo {
    /// Whether this is said of such a task.
    fn describes(&self, task: &Task) -> bool {
        match (self.op.as_str(), task) {
            ("conv", Task::Convolution(_)) => self.int8,
            ("conv", Task::RealConvolution(_)) => !self.int8,
            ("max_pool" | "sum_pool", Task::Pool(_)) => self.macs == 0,
            _ => false,
        }
    }
}

impl Task {
    /// Whether it can be run; about how many multiply-adds it takes.
    fn check(&self, kernels: Kernels, room: (usize, usize)) -> Checked<u64> {
        match self {
            Self::Convolution(task) => task.check(kernels, room),
            Self::RealConvolution(task) => task.check(room),
            Self::Pool(task) => task.check(room),
        }
    }

    fn new(site: Site<'_>, layer: &Layer, to: usize) -> Result<Self> {
        Ok(match &layer.op {
            Op::Convolution { weights: Weights::Int8 { .. }, .. } => {
                Self::Convolution(Box::new(Convolution::new(site, layer, to)?))
            }
            Op::Convolution { weights: Weights::Float { .. }, .. } => {
                Self::RealConvolution(Box::new(RealConvolution::new(site, layer, to)?))
            }
            Op::MaxPool(_) | Op::SumPool(_) => Self::Pool(Box::new(Pool::new(site, layer, to))),
        })
    }

    fn need(&self) -> Need {
        match self {
            Self::Convolution(task) => task.need(),
            Self::RealConvolution(task) => task.need(),
            Self::Pool(task) => task.need(),
        }
    }
}

#[cfg(test)]
mod tests;
