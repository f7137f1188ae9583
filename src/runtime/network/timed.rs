//! Runs of which each step is timed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tract_core::internal::*;

use super::{Network, Runner, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::caught;
use crate::kernels::thread_clock;
use crate::optimize::FusedOp;
use crate::runtime::steps::{self, Step};

/// By which clock steps are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepClock {
    /// One on the wall.
    Wall,
    /// The calling thread's processor time, where the system tells it: for networks that compute in one thread.
    Processor,
}

impl StepClock {
    /// Time since some time.
    fn now(self, start: Instant) -> Duration {
        let processor = if self == Self::Processor { thread_clock() } else { None };
        processor.unwrap_or_else(|| start.elapsed())
    }
}

/// Takes the time from lap to lap.
struct Laps<'a> {
    clock: StepClock,
    start: Instant,
    begun: Duration,
    times: &'a mut Vec<Duration>,
}

impl<'a> Laps<'a> {
    fn new(clock: StepClock, times: &'a mut Vec<Duration>) -> Self {
        let start = Instant::now();
        Self { clock, start, begun: clock.now(start), times }
    }

    fn end(&mut self) {
        let now = self.clock.now(self.start);
        self.times.push(now.saturating_sub(self.begun));
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
        clock: StepClock,
        times: &mut Vec<Duration>,
    ) -> Result<()> {
        times.clear();
        match &self.runner {
            Runner::Fused(op) => caught(|| {
                let mut laps = Laps::new(clock, times);
                match features {
                    [] => op.run_observed(&[input], &mut [out], || laps.end()),
                    features => op.run_observed(&[input], &mut [out, features], || laps.end()),
                }
                Ok(())
            }),
            Runner::Graph { plan, .. } => {
                let outputs = caught(|| run_plan(plan, &self.input, input, clock, times).map_err(failed))?;
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
    clock: StepClock,
    times: &mut Vec<Duration>,
) -> TractResult<TVec<TValue>> {
    let mut of_nodes: HashMap<usize, Vec<Duration>> = HashMap::new();
    let input = Tensor::from_shape(shape, input)?.into_tvalue();
    let outputs = plan.spawn()?.run_plan_with_eval(tvec!(input), |ctx, state, node, inputs| {
        let times = of_nodes.entry(node.id).or_default();
        let mut laps = Laps::new(clock, times);
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
