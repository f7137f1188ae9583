//! What travels with a network: its name, how pictures become its input, and its classes' labels.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::DenseNetConfig;
use crate::error::{Error, ErrorKind};

/// Everything an ONNX file's `metadata_props` say under Densight's keys, as far as they are there.
///
/// | key | value |
/// |---|---|
/// | `densight.name` | text |
/// | `densight.config` | [`DenseNetConfig`] as JSON |
/// | `densight.preprocessing` | [`Preprocessing`] as JSON |
/// | `densight.labels` | JSON array of texts, one for each class |
/// | `densight.scores` | `softmax`, `sigmoid` or `none`: see [`Scores`] |
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The network's name.
    pub name: Option<String>,
    /// What it was built from.
    pub config: Option<DenseNetConfig>,
    /// How pictures become its input.
    pub preprocessing: Option<Preprocessing>,
    /// One label for each class.
    pub labels: Option<Vec<String>>,
    /// What its scores are.
    pub scores: Option<Scores>,
}

/// What the scores of a network's classes are. An output that is of that kind already is taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Probabilities that sum to 1: one class is true.
    Softmax,
    /// A probability for each class: several may be true, or none.
    Sigmoid,
    /// The output as it is.
    None,
}

impl std::str::FromStr for Scores {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "softmax" => Ok(Self::Softmax),
            "sigmoid" => Ok(Self::Sigmoid),
            "none" => Ok(Self::None),
            _ => Err(Error::new(ErrorKind::Usage, format!("unknown scores '{name}': use softmax, sigmoid or none"))),
        }
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::None => "none",
        })
    }
}

/// How an image becomes the network's input: resized to its height and width, then for each channel
/// `(pixel * scale - mean) / std`, in planes (NCHW).
///
/// A network of one channel takes the image's luma, `0.299 red + 0.587 green + 0.114 blue` rounded to a step of 255 before it is resized,
/// as PIL's `convert("L")`; the first of `mean` and `std` are its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// How an image of another shape is made to fit.
    pub resize: ResizeKind,
    /// How pixels between pixels are found. All but `nearest` are antialiased.
    pub interpolation: Interpolation,
    /// With [`ResizeKind::Crop`]: the share of the shorter side that is kept, 0 < crop <= 1 (224 of 256 is 0.875).
    pub crop: f64,
    /// Order in which the network takes the colour planes; `mean` and `std` are in the same order.
    pub channels: ChannelOrder,
    /// What a pixel's 0 to 255 is multiplied by first.
    pub scale: f32,
    /// Subtracted from each channel, after `scale`. One number is one for all.
    #[serde(deserialize_with = "each")]
    pub mean: [f32; 3],
    /// Divides each channel, after `mean`. One number is one for all.
    #[serde(deserialize_with = "each")]
    pub std: [f32; 3],
    /// With [`ResizeKind::Fit`] and [`ResizeKind::Letterbox`]: the colour around the image, red green blue.
    pub pad: [u8; 3],
}

impl Default for Preprocessing {
    /// What torchvision's ImageNet networks are evaluated with: shorter side to 256 of 224, centre crop.
    fn default() -> Self {
        Self {
            resize: ResizeKind::Crop,
            interpolation: Interpolation::Bilinear,
            crop: 0.875,
            channels: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            pad: [0; 3],
        }
    }
}

impl Preprocessing {
    /// What is taken where neither a model nor its `model.toml` says anything: of three channels the [`Default`], of a gray image its
    /// pixels from 0 to 1.
    pub fn of_channels(channels: usize) -> Self {
        match channels {
            1 => Self { mean: [0.0; 3], std: [1.0; 3], ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Checks that the numbers describe a usable transformation; the text says which does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(self.crop > 0.0 && self.crop <= 1.0) {
            return Err(format!("crop is {}: it must be above 0 and at most 1", self.crop));
        }
        let numbers = [[self.scale; 3], self.mean, self.std];
        if self.scale == 0.0 || self.std.contains(&0.0) || !numbers.as_flattened().iter().all(|v| v.is_finite()) {
            return Err("scale and std must not be 0, and scale, mean and std must be finite".into());
        }
        Ok(())
    }
}

/// Three numbers, or one for all channels, alone or as a list.
fn each<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f32; 3], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Numbers {
        One(f32),
        List(Vec<f32>),
    }
    let numbers = Numbers::deserialize(deserializer).map_err(|_| D::Error::custom("expected one number or three"))?;
    match numbers {
        Numbers::One(number) => Ok([number; 3]),
        Numbers::List(list) => match list[..] {
            [number] => Ok([number; 3]),
            [a, b, c] => Ok([a, b, c]),
            _ => Err(D::Error::custom(format!("expected one number or three, not {}", list.len()))),
        },
    }
}

/// How an image is made to fit the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeKind {
    /// Scaled until it covers the input (and a margin, see [`Preprocessing::crop`]), then its centre is cut out.
    Crop,
    /// Scaled until it is inside the input, at the top left; the rest is padded.
    Fit,
    /// Scaled until it is inside the input, in the middle; the rest is padded.
    Letterbox,
    /// Stretched to the input, whatever becomes of its proportions.
    Squash,
}

/// Filter used when an image is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Triangle filter.
    Bilinear,
    /// Cubic filter with a = -0.5.
    Bicubic,
    /// Lanczos filter with 3 lobes.
    Lanczos,
}

/// Order of colour planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn useless_numbers_are_refused() {
        assert_eq!(Preprocessing::default().check(), Ok(()));
        assert!(Preprocessing { crop: 0.0, ..Default::default() }.check().is_err());
        assert!(Preprocessing { std: [1.0, 0.0, 1.0], ..Default::default() }.check().is_err());
        assert!(Preprocessing { mean: [f32::NAN; 3], ..Default::default() }.check().is_err());
    }

    #[test]
    fn one_number_is_one_for_all_channels() {
        let mean = |json: &str| serde_json::from_str::<Preprocessing>(json).map(|p| p.mean).map_err(|e| e.to_string());
        for json in [r#"{"mean": 0.5}"#, r#"{"mean": [0.5]}"#, r#"{"mean": [0.5, 0.5, 0.5]}"#] {
            assert_eq!(mean(json), Ok([0.5; 3]));
        }
        assert!(mean(r#"{"mean": [0.5, 0.5]}"#).unwrap_err().contains("one number or three, not 2"));
        assert!(mean(r#"{"mean": "x"}"#).unwrap_err().contains("one number or three"));
    }

    #[test]
    fn json_has_plain_words() {
        let json = serde_json::to_value(Preprocessing::default()).unwrap();
        assert_eq!((&json["resize"], &json["channels"]), (&"crop".into(), &"rgb".into()));
    }
}
