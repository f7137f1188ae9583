//! The operator that runs a fused network.

use std::sync::{Arc, Mutex, PoisonError};

use tract_core::internal::*;

use super::engine::{Engine, Memory};
use crate::error::Result;
use crate::kernels::Kernels;
use crate::model::fused::FusedNetwork;
use crate::model::{Limit, Limits};

/// A fused network as one operator: f32 values in, f32 values out, the network's inputs and outputs in order.
#[derive(Debug, Clone)]
pub struct FusedOp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    threads: usize,
    /// Memory that no run is using.
    free: Mutex<Vec<Memory>>,
}

impl FusedOp {
    /// The operator for `network`, run with `kernels` on `threads` threads.
    ///
    /// # Errors
    /// As [`Engine::new`] and [`of`](Self::of).
    pub fn new(network: &FusedNetwork, kernels: Kernels, threads: usize, limits: &Limits) -> Result<Self> {
        Self::of(Engine::new(network, kernels)?, threads, limits)
    }

    /// The operator for `engine`, run on `threads` threads.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] if it needs more memory than `limits` allow.
    pub fn of(engine: Engine, threads: usize, limits: &Limits) -> Result<Self> {
        limits.check(Limit::Activations, engine.memory_size(threads))?;
        let free = Mutex::new(vec![engine.memory(threads)]);
        Ok(Self(Arc::new(Inner { engine, threads, free })))
    }

    /// Its engine, if no other copy of the operator exists.
    pub fn into_engine(self) -> Option<Engine> {
        Arc::into_inner(self.0).map(|inner| inner.engine)
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Writes the outputs for one image to `outputs`; allocates nothing unless another thread runs the same operator.
    ///
    /// # Panics
    /// As [`Engine::run_into`].
    pub fn run_into(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        self.with_memory(|engine, memory| engine.run_into(inputs, memory, outputs));
    }

    /// As [`run_into`](Self::run_into), with a call of `done` after each of [`Engine::steps`].
    ///
    /// # Panics
    /// As [`Engine::run_into`].
    pub fn run_observed(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], done: impl FnMut()) {
        self.with_memory(|engine, memory| engine.run_observed(inputs, memory, outputs, done));
    }

    /// The outputs for one image as tract's tensors, with a call of `done` after each of [`Engine::steps`].
    ///
    /// # Errors
    /// For tensors that are not of f32 values in memory.
    pub fn eval_observed(&self, inputs: TVec<TValue>, done: impl FnMut()) -> TractResult<TVec<TValue>> {
        let plain = inputs.iter().map(|input| input.try_as_plain_ram()).collect::<TractResult<TVec<_>>>()?;
        let values = plain.iter().map(|input| input.as_slice::<f32>()).collect::<TractResult<TVec<_>>>()?;
        let dims = self.engine().outputs();
        let mut results: Vec<Vec<f32>> = dims.iter().map(|dims| vec![0.0; dims.iter().product()]).collect();
        let mut places: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
        self.run_observed(&values, &mut places, done);
        results.iter().zip(dims).map(|(values, dims)| Ok(Tensor::from_shape(dims, values)?.into_tvalue())).collect()
    }

    /// Bytes of all activations and scratch.
    pub fn memory_size(&self) -> usize {
        self.with_memory(|_, memory| memory.size())
    }

    fn with_memory<R>(&self, work: impl FnOnce(&Engine, &mut Memory) -> R) -> R {
        let Inner { engine, threads, free } = &*self.0;
        let memory = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = memory.unwrap_or_else(|| engine.memory(*threads));
        let result = work(engine, &mut memory);
        free.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }
}

impl PartialEq for FusedOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for FusedOp {}

impl Op for FusedOp {
    fn name(&self) -> StaticName {
        "DensightFused".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FusedOp {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.eval_observed(inputs, || ())
    }
}

impl TypedOp for FusedOp {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.engine().outputs().iter().map(f32::fact).collect())
    }

    as_op!();
}
