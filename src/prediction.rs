//! What a network says of a picture: labels with scores, and the record of one processed frame.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::frame::Area;

/// One class with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Index of the network's output.
    pub class: usize,
    /// The class's name, or `class N` where the model carries no labels.
    pub label: Arc<str>,
    /// Its probability, 0 to 1, unless the output was to be taken as it is.
    pub score: f32,
}

/// A score as all outputs and the page write it: `93.4%`, half a tenth rounded up.
pub fn percent(score: f32) -> String {
    format!("{:.1}%", (f64::from(score) * 1000.0).round() / 10.0)
}

/// Softmax over logits, stable for large values.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|&x| (x - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|x| x / sum).collect()
}

/// How a network's output becomes scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// [`softmax`] over all classes.
    Softmax,
    /// `1 / (1 + exp(-x))` of each class.
    Sigmoid,
    /// `exp(x)`, of logarithms.
    Exponential,
    /// As it is.
    Identity,
}

impl Activation {
    /// The scores that an output stands for.
    pub fn apply(self, output: &[f32]) -> Vec<f32> {
        let each = |f: fn(f32) -> f32| output.iter().map(|&x| f(x)).collect();
        match self {
            Self::Softmax => softmax(output),
            Self::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp())),
            Self::Exponential => each(f32::exp),
            Self::Identity => output.to_vec(),
        }
    }
}

/// Indices of the `k` largest scores, largest first; equal scores keep their order.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(k);
    order
}

/// How unlike a picture is to those that a network was taught with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unknown {
    /// 0 to 1.
    pub score: f32,
    /// With a greater score the picture is of something that the network does not know.
    pub threshold: f32,
}

impl Unknown {
    /// Whether it is of something that the network does not know.
    pub const fn is_unknown(&self) -> bool {
        self.score > self.threshold
    }
}

/// What is said instead of a label where the picture is of something that the network does not know.
pub const UNKNOWN: &str = "unknown";

/// How long each stage of one picture took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// From encoded bytes to RGB.
    pub decode: Duration,
    /// Resize, crop, normalize.
    pub preprocess: Duration,
    /// The network.
    pub inference: Duration,
    /// Softmax and top-k.
    pub postprocess: Duration,
}

impl std::ops::AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.decode += other.decode;
        self.preprocess += other.preprocess;
        self.inference += other.inference;
        self.postprocess += other.postprocess;
    }
}

/// What speaks for a class in a picture, and where: its class activation map (Zhou et al., CVPR 2016). The mean of its values is the class's
/// logit less the bias.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Number of the class.
    pub class: usize,
    /// Left, top, width and height of what it covers, in the picture's pixels; it may reach beyond the picture.
    pub place: [f32; 4],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row: above 0 what speaks for the class, below what speaks against it.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// The same map for the picture scaled from this width and height to that.
    pub fn scale(&mut self, from: (u32, u32), to: (u32, u32)) {
        let [across, down] = [(from.0, to.0), (from.1, to.1)].map(|(from, to)| to as f32 / from.max(1) as f32);
        let [left, top, width, height] = self.place;
        self.place = [left * across, top * down, width * across, height * down];
    }
}

/// What a network says of one region of a frame.
#[derive(Debug, Clone)]
pub struct RegionReport {
    /// The region's name.
    pub name: Arc<str>,
    /// Where it is in the picture.
    pub area: Area,
    /// The model's name.
    pub model: Arc<str>,
    /// First 16 hexadecimal digits of the model file's SHA-256.
    pub model_hash: Arc<str>,
    /// Best classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// Whether it is of something that the network does not know; `None` where that is not told.
    pub unknown: Option<Unknown>,
    /// What holds there; `None` where that is not followed.
    pub state: Option<State>,
    /// Where the network saw the best class, if that was asked for.
    pub heat: Option<HeatMap>,
}

impl RegionReport {
    /// Whether it is of something that the network does not know.
    pub fn is_unknown(&self) -> bool {
        self.unknown.is_some_and(|unknown| unknown.is_unknown())
    }

    /// What is shown of it, most important first: label and score. Where the network does not know it, that comes first.
    pub fn shown(&self) -> impl Iterator<Item = (&str, f32)> {
        let unknown = self.unknown.filter(Unknown::is_unknown).map(|unknown| (UNKNOWN, unknown.score));
        unknown.into_iter().chain(self.predictions.iter().map(|p| (&*p.label, p.score)))
    }

    /// What holds there, as people read it; `None` where no state is followed.
    pub fn state_text(&self) -> Option<String> {
        let state = self.state.as_ref()?;
        let nothing_known = state.labels.is_empty() && self.is_unknown();
        Some(if nothing_known { UNKNOWN.to_owned() } else { state.text() })
    }
}

/// What holds in a region, whatever a single frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The label that holds, or where each label is true or false by itself, those that are true. None while it is uncertain.
    pub labels: Vec<Arc<str>>,
    /// Since when, on the clock of [`FrameReport::monotonic`].
    pub since: Duration,
}

impl State {
    /// As people read it.
    pub fn text(&self) -> String {
        match &self.labels[..] {
            [] => UNCERTAIN.to_owned(),
            labels => labels.join(", "),
        }
    }
}

/// What is said instead of a label where none holds.
pub const UNCERTAIN: &str = "uncertain";

/// A change of a region's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Wall-clock time of capture of the frame with which it changed.
    pub time: SystemTime,
    /// The region's name.
    pub region: Arc<str>,
    /// The label that begins or ends to hold; `None` where from now on no label does.
    pub label: Option<Arc<str>>,
    /// Whether it holds from now on. False only where each label is true or false by itself: else a label ends when another begins.
    pub active: bool,
    /// The label's score in that frame; of `None` the best one's.
    pub score: f32,
}

impl Event {
    /// The label, or the word for none.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(UNCERTAIN)
    }
}

/// Everything known of one processed frame: what overlay and outputs show.
#[derive(Debug, Clone)]
pub struct FrameReport {
    /// The camera's name, if it has one.
    pub camera: Option<Arc<str>>,
    /// Position in the source's sequence, from 0.
    pub sequence: u64,
    /// Wall-clock time of capture.
    pub timestamp: SystemTime,
    /// Monotonic time of capture, counted from the start of the program.
    pub monotonic: Duration,
    /// What the frame came from (a file's path), where that is more than the source itself.
    pub origin: Option<Arc<str>>,
    /// What networks say of it, region by region.
    pub regions: Vec<RegionReport>,
    /// States that changed with it.
    pub events: Vec<Event>,
    /// Time spent in each stage, for all regions.
    pub stages: StageTimes,
    /// From capture to result.
    pub latency: Duration,
    /// Results a second over the last second or so.
    pub fps: f32,
    /// Frames captured but not processed, so far.
    pub dropped: u64,
    /// Frames taken and not looked at, while paused, so far.
    pub skipped: u64,
    /// Pictures so far that were damaged: shown as far as they go, or passed over.
    pub damaged: u64,
    /// Results, and events, that should have been delivered before this one and were not.
    pub lost: u64,
    /// Whether this picture is one of which only a part could be decoded.
    pub partial: bool,
    /// Whether the processor is being slowed down by heat or low voltage; `None` where it cannot be told.
    pub throttled: Option<bool>,
}

impl FrameReport {
    /// The first region's best classes, most probable first.
    pub fn predictions(&self) -> &[Prediction] {
        self.regions.first().map_or(&[], |region| &region.predictions)
    }

    /// What people call it: the camera's name, or else the first region's model.
    pub fn title(&self) -> &str {
        self.camera.as_deref().unwrap_or_else(|| self.model())
    }

    /// The name of the first region's model.
    pub fn model(&self) -> &str {
        self.regions.first().map_or("", |region| &region.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let p = softmax(&[1000.0, 1001.0, 999.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[1] / p[0] - std::f32::consts::E).abs() < 1e-4);
    }

    #[test]
    fn percentages_have_one_digit() {
        let written = [1.0, 0.934, 0.0, 0.00049, 0.0625, 0.9345, f32::NAN].map(percent);
        assert_eq!(written, ["100.0%", "93.4%", "0.0%", "0.0%", "6.3%", "93.4%", "NaN%"]);
    }

    #[test]
    fn activations_by_hand() {
        let near = |a: Vec<f32>, b: [f32; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        let x = [0.0, 2.0_f32.ln()];
        assert!(near(Activation::Softmax.apply(&x), [1.0 / 3.0, 2.0 / 3.0]));
        assert!(near(Activation::Sigmoid.apply(&x), [0.5, 2.0 / 3.0]));
        assert!(near(Activation::Sigmoid.apply(&[-1e30, 1e30]), [0.0, 1.0]));
        assert!(near(Activation::Exponential.apply(&x), [1.0, 2.0]));
        assert!(near(Activation::Identity.apply(&x), x));
    }

    #[test]
    fn top_k_is_sorted_and_stable() {
        assert_eq!(top_k(&[0.1, 0.7, 0.1, 0.1], 3), [1, 0, 2]);
        assert_eq!(top_k(&[0.5], 5), [0]);
        assert!(top_k(&[], 5).is_empty());
    }
}
