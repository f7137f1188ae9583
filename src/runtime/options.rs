//! What to ask of a session.

use super::device::Device;
use crate::model::{Limits, Scores};

/// What to ask of a [`Session`](super::Session).
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads the network runs on, up to [`crate::cpu::most_threads`]; 1 means the calling thread alone.
    pub threads: usize,
    /// Labels that replace the model's own.
    pub labels: Option<Vec<String>>,
    /// Leave the whole graph to tract, to compare with.
    pub stock: bool,
    /// Where the network runs.
    pub device: Device,
    /// Pictures that are classified together at most: a GPU computes as many at a time, the processor one after another.
    pub batch: usize,
    /// What the model may cost.
    pub limits: Limits,
    /// Height and width of the network's input, of a model that leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// The same, where nobody else says: neither that nor the model.
    pub open_size: Option<[usize; 2]>,
    /// Name of the output that is the network's, of a model with several; the first if none is given.
    pub output: Option<String>,
    /// Whether [`Classifier::heat_map`](super::Classifier::heat_map) gives one: the network up to its last feature map is held a second
    /// time, and runs for each heat map once more.
    pub heat_maps: bool,
    /// What the scores of the classes are; if not given, what the model says, else what its graph ends in.
    pub scores: Option<Scores>,
    /// The score beyond which a picture is unknown, 0 to 1, in the place of the model's.
    pub unknown_threshold: Option<f32>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            labels: None,
            stock: false,
            device: Device::Cpu,
            batch: 1,
            limits: Limits::default(),
            input_size: None,
            open_size: None,
            output: None,
            heat_maps: false,
            scores: None,
            unknown_threshold: None,
        }
    }
}
