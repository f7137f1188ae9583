//! A loaded model, ready for pictures.

mod classify;
mod head;
mod open;

use std::sync::Arc;
use std::time::Duration;

use super::heat::HeatMapper;
use super::network::{Network, StepClock};
use super::{Execution, Preprocessor, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DenseNetConfig, Preprocessing, Scores, UnknownDetector};
use crate::prediction::Activation;
use head::Head;

/// A loaded model: preprocessing, network and labels. It is reusable, and can be sent to another thread.
pub struct Session {
    name: Arc<str>,
    hash: Arc<str>,
    network: Network,
    preprocessing: Preprocessing,
    preprocessor: Preprocessor,
    batch: usize,
    /// Of a batch of pictures.
    input: Vec<f32>,
    scores: Vec<f32>,
    labels: Vec<Arc<str>>,
    labelled: bool,
    head: Head,
    channels_last: bool,
    output_name: String,
    other_outputs: Vec<String>,
    config: Option<DenseNetConfig>,
    initializer_values: u64,
    fell_back: Option<FellBack>,
    heat: Option<HeatMapper>,
    unknown: Option<UnknownDetector>,
    /// Of a batch of pictures, where what is unknown is told.
    features: Vec<f32>,
    /// How the output becomes probabilities, whatever was asked for.
    probabilities: Activation,
}

/// What runs a network in the place of what would have been taken.
#[derive(Debug)]
pub struct FellBack {
    /// It, in words.
    pub to: &'static str,
    /// Why.
    pub reason: Error,
}

impl Session {
    /// What the scores of the classes are.
    pub fn scores(&self) -> Scores {
        self.head.scores
    }

    /// Name of the output that is the network's; empty of a prepared model.
    pub fn output_name(&self) -> &str {
        &self.output_name
    }

    /// How the model tells pictures of what it does not know, if it does.
    pub fn unknown(&self) -> Option<&UnknownDetector> {
        self.unknown.as_ref()
    }

    /// Names of the model's outputs that are not the network's, where nobody said which one is.
    pub fn other_outputs(&self) -> &[String] {
        &self.other_outputs
    }

    /// Whether the model's file takes `[1, height, width, channels]`; a session takes planes all the same.
    pub fn channels_last(&self) -> bool {
        self.channels_last
    }

    /// Channels, height and width of the network's input.
    pub fn input_shape(&self) -> [usize; 3] {
        let [_, channels, height, width] = self.network.input_shape();
        [channels, height, width]
    }

    /// Values of one picture.
    fn values(&self) -> usize {
        self.input.len() / self.batch
    }

    /// Shape of the network's output for one picture.
    pub fn output_shape(&self) -> &[usize] {
        self.network.output_shape()
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// The classes' labels; `None` if neither model nor user gave any.
    pub fn labels(&self) -> Option<&[Arc<str>]> {
        self.labelled.then_some(self.labels.as_slice())
    }

    /// How pictures become the network's input.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What the network was built from; `None` for models of others.
    pub fn config(&self) -> Option<&DenseNetConfig> {
        self.config.as_ref()
    }

    /// How many numbers the file's initializers hold: weights, and the statistics of norms.
    pub fn initializer_values(&self) -> u64 {
        self.initializer_values
    }

    /// What runs for each picture, node by node.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if tract cannot list its own graph.
    pub fn execution(&self) -> Result<Execution> {
        self.network.execution()
    }

    /// Runs the bare network on one picture already in its input's form: `input_shape()` values, planes of f32; or on several, at most
    /// as many as the session's batch, one behind the other.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of values, [`ErrorKind::Model`] if the network fails.
    pub fn run(&mut self, input: &[f32]) -> Result<Vec<f32>> {
        let pictures = (input.len() / self.values()).clamp(1, self.batch);
        let mut scores = vec![0.0; pictures * self.classes()];
        self.run_into(input, &mut scores)?;
        Ok(scores)
    }

    /// As [`run`](Self::run), with the scores written to `scores`. Where the graph is one fused network, this allocates
    /// nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`ErrorKind::Shape`] also for another number of scores than there are classes.
    pub fn run_into(&mut self, input: &[f32], scores: &mut [f32]) -> Result<()> {
        let (values, classes) = (self.values(), self.classes());
        let pictures = input.len() / values;
        if !(1..=self.batch).contains(&pictures) || input.len() != pictures * values {
            let [c, h, w] = self.input_shape();
            let most = if self.batch == 1 { String::new() } else { format!(" of up to {} pictures", self.batch) };
            let message = format!("the model takes {c}x{h}x{w} = {values} values{most}, not {}", input.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if scores.len() != pictures * classes {
            let message = format!("the model gives {} scores, not {}", pictures * classes, scores.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let Self { network, features, .. } = self;
        network.run(input, scores, features)
    }

    /// What [`run_timed`](Self::run_timed) times, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a network that a device runs, [`ErrorKind::Model`] if tract cannot list its own graph.
    pub fn steps(&self) -> Result<Vec<Step>> {
        self.network.steps()
    }

    /// As [`run_into`](Self::run_into), of one picture, and writes to `times` what each of [`steps`](Self::steps) took by `clock`.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into) and [`steps`](Self::steps).
    pub fn run_timed(
        &mut self,
        input: &[f32],
        scores: &mut [f32],
        clock: StepClock,
        times: &mut Vec<Duration>,
    ) -> Result<()> {
        let (values, classes) = (self.values(), self.classes());
        if [input.len(), scores.len()] != [values, classes] {
            let message = format!("one picture of {values} values is timed, and {classes} scores, not {}", input.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let features = self.network.features();
        self.network.run_timed(input, scores, &mut self.features[..features], clock, times)
    }

    /// Why the network runs on the processor where a GPU would have been taken ([`Device::Auto`](super::Device::Auto)), or is tract's on a GPU.
    pub fn fell_back(&self) -> Option<&FellBack> {
        self.fell_back.as_ref()
    }

    /// Bytes of all activations and all that is computed on the way, where the graph is one fused network: nothing else is
    /// allocated for a picture.
    pub fn memory_size(&self) -> Option<usize> {
        self.network.memory_size()
    }
}

#[cfg(test)]
mod tests;
