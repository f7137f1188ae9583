//! The operator that runs a fused network.

use std::sync::{Arc, Mutex, PoisonError};

use tract_core::internal::*;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, Solver, TensorProxy};

use super::engine::{Engine, Memory};
use crate::kernels::Kernels;
use crate::model::fused::FusedNetwork;

/// A fused network as one operator: real numbers in, real numbers out, the network's inputs and outputs in order.
#[derive(Debug, Clone)]
pub struct FusedOp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// Memory that no run uses at the moment.
    free: Mutex<Vec<Memory>>,
}

impl FusedOp {
    /// The operator for `network`, computed with `kernels`.
    pub fn new(network: FusedNetwork, kernels: Kernels) -> Self {
        let engine = Engine::new(network, kernels);
        let free = Mutex::new(vec![engine.memory()]);
        Self(Arc::new(Inner { engine, free }))
    }

    /// What runs it.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn network(&self) -> &FusedNetwork {
        self.0.engine.network()
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
        let plain = inputs.iter().map(|input| input.try_as_plain_ram()).collect::<TractResult<TVec<_>>>()?;
        let values = plain.iter().map(|input| input.as_slice::<f32>()).collect::<TractResult<TVec<_>>>()?;
        let Inner { engine, free } = &*self.0;
        let mut memory = free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| engine.memory());
        let results = engine.run(&values, &mut memory);
        free.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        let results = results.into_iter().zip(&self.network().outputs);
        results.map(|(values, output)| Ok(Tensor::from_shape(&output.dims, &values)?.into_tvalue())).collect()
    }
}

impl TypedOp for FusedOp {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.network().outputs.iter().map(|output| f32::fact(&output.dims)).collect())
    }

    as_op!();
}

impl Expansion for FusedOp {
    fn name(&self) -> StaticName {
        Op::name(self)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.network().outputs.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        for (proxy, output) in outputs.iter().zip(&self.network().outputs) {
            solver.equals(&proxy.datum_type, f32::datum_type())?;
            let dims: TVec<TDim> = output.dims.iter().map(|dim| dim.to_dim()).collect();
            solver.equals(&proxy.shape, dims)?;
        }
        for proxy in inputs.iter().take(self.network().inputs.len()) {
            solver.equals(&proxy.datum_type, f32::datum_type())?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}
