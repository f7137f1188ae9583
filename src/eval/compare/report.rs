//! What a comparison says.

use serde::Serialize;

use crate::eval::{PictureName, Report};

/// Most entries of [`Comparison::differences`].
pub const MOST_DIFFERENCES: usize = 10_000;

/// A model against its reference, on the same pictures.
///
/// A drop is in percentage points, positive when the model is worse than the reference; other shares are between 0 and 1.
/// A picture is *lost* when the reference alone is right, and *won* when the model alone is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What the pictures came from.
    pub data: String,
    /// Number of pictures.
    pub pictures: u64,
    /// Drop of the share of pictures whose most probable class is right.
    pub top1_drop: f64,
    /// Drop of the share of pictures whose class is among the five most probable; `None` for five outputs or fewer.
    pub top5_drop: Option<f64>,
    /// Share of pictures for which both find the same class most probable, be it right or wrong.
    pub agreement: f64,
    /// Number of pictures lost.
    pub lost: u64,
    /// Number of pictures won.
    pub won: u64,
    /// Number of pictures for which the most probable classes differ: lost, won, and those for which both are wrong.
    pub differing: u64,
    /// One entry for each output of the models.
    pub classes: Vec<ClassComparison>,
    /// The pictures that differ, in the data's order: the first [`MOST_DIFFERENCES`] of them.
    pub differences: Vec<Difference>,
    /// The model by itself. Its time to decode is the reference's too: pictures are decoded once for both.
    pub model: Report,
    /// The reference by itself.
    pub reference: Report,
}

/// How the pictures of one class fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassComparison {
    /// Its name: the models', or that of the data where neither has one.
    pub label: String,
    /// Pictures of this class.
    pub pictures: u64,
    /// Share of them that the model finds; `None` without pictures.
    pub model_recall: Option<f64>,
    /// Share of them that the reference finds; `None` without pictures.
    pub reference_recall: Option<f64>,
    /// Drop of the share that is found; `None` without pictures.
    pub recall_drop: Option<f64>,
    /// Number of them lost.
    pub lost: u64,
    /// Number of them won.
    pub won: u64,
}

/// A picture for which the most probable classes differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Which it is.
    pub picture: PictureName,
    /// What it shows.
    pub truth: NamedClass,
    /// What the model says.
    pub model: ScoredClass,
    /// What the reference says.
    pub reference: ScoredClass,
    /// Who is right.
    pub outcome: Outcome,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedClass {
    /// Number of the output.
    pub class: usize,
    /// Its name.
    pub label: String,
}

/// A class that was predicted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredClass {
    /// Number of the output.
    pub class: usize,
    /// Its name.
    pub label: String,
    /// Softmax probability, 0 to 1.
    pub score: f32,
}

/// Who is right where the models differ. In JSON `lost`, `won` or `wrong`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The reference alone.
    Lost,
    /// The model alone.
    Won,
    /// Neither.
    Wrong,
}

impl Outcome {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Won => "won",
            Self::Wrong => "wrong",
        }
    }
}
