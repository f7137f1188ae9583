//! Runs of which each step is timed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tract_core::internal::*;

use super::{Network, Runner, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::caught;
use crate::optimize::FusedOp;
use crate::runtime::steps::{self, Step};

/// Takes the time from lap to lap.
struct Laps<'a> {
    begun: Instant,
    times: &'a mut Vec<Duration>,
}

impl<'a> Laps<'a> {
    fn new(times: &'a mut Vec<Duration>) -> Self {
        Self { begun: Instant::now(), times }
    }

    fn end(&mut self) {
        let now = Instant::now();
        self.times.push(now - self.begun);
        self.begun = now;
    }
}

impl Network {
    /// What [`run_timed`](Self::run_timed) times, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a network that a device runs, [`ErrorKind::Model`] if tract cannot list its own graph.
    pub(in crate::runtime) fn steps(&self) -> Result<Vec<Step>> {
        match &self.runner {
            Runner::Fused(op) => Ok(steps::of_engine(op.engine()).collect()),
            Runner::Graph { plan, .. } => {
                let nodes = steps::of_graph(plan.model()).map_err(super::unlisted)?;
                Ok(nodes.into_iter().flat_map(|(_, steps)| steps).collect())
            }
            Runner::Gpu(_) | Runner::Device(_) => Err(on_device()),
        }
    }

    /// Runs one picture as [`run`](Self::run) does, and writes to `times` what each of [`steps`](Self::steps) took.
    ///
    /// # Errors
    /// As [`run`](Self::run) and [`steps`](Self::steps).
    pub(in crate::runtime) fn run_timed(
        &self,
        input: &[f32],
        out: &mut [f32],
        features: &mut [f32],
        times: &mut Vec<Duration>,
    ) -> Result<()> {
        times.clear();
        match &self.runner {
            Runner::Fused(op) => caught(|| {
                let mut laps = Laps::new(times);
                match features {
                    [] => op.run_observed(&[input], &mut [out], || laps.end()),
                    features => op.run_observed(&[input], &mut [out, features], || laps.end()),
                }
                Ok(())
            }),
            Runner::Graph { plan, .. } => {
                let outputs = caught(|| run_plan(plan, &self.input, input, times).map_err(failed))?;
                super::write(&outputs, [out, features]).map_err(failed)
            }
            Runner::Gpu(_) | Runner::Device(_) => Err(on_device()),
        }
    }
}

fn on_device() -> Error {
    Error::new(ErrorKind::Usage, "layers are timed on the processor only: use --device cpu")
}

/// Runs tract's plan, node by node.
fn run_plan(
    plan: &Arc<TypedSimplePlan>,
    shape: &[usize],
    input: &[f32],
    times: &mut Vec<Duration>,
) -> TractResult<TVec<TValue>> {
    let mut of_nodes: HashMap<usize, Vec<Duration>> = HashMap::new();
    let input = Tensor::from_shape(shape, input)?.into_tvalue();
    let outputs = plan.spawn()?.run_plan_with_eval(tvec!(input), |ctx, state, node, inputs| {
        let times = of_nodes.entry(node.id).or_default();
        let mut laps = Laps::new(times);
        match (node.op_as::<FusedOp>(), state) {
            (Some(fused), _) => fused.eval_observed(inputs, || laps.end()),
            (None, state) => {
                let result = match state {
                    Some(state) => state.eval(ctx, node.op(), inputs),
                    None => node.op().eval(ctx, inputs),
                };
                laps.end();
                result
            }
        }
    })?;
    for (node, steps) in steps::of_graph(plan.model())? {
        // What tract does not compute, as nobody needs it, takes no time.
        let mut taken = of_nodes.remove(&node).unwrap_or_default();
        taken.resize(steps.len(), Duration::ZERO);
        times.append(&mut taken);
    }
    Ok(outputs)
}
