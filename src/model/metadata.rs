//! What travels with a network: its name, how pictures become its input, and its classes' labels.

use serde::{Deserialize, Serialize};

use super::DenseNetConfig;

/// Everything an ONNX file's `metadata_props` say under Densight's keys, as far as they are there.
///
/// | key | value |
/// |---|---|
/// | `densight.name` | text |
/// | `densight.config` | [`DenseNetConfig`] as JSON |
/// | `densight.preprocessing` | [`Preprocessing`] as JSON |
/// | `densight.labels` | JSON array of texts, one for each class |
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
}

/// How an image becomes the network's input: resized to its height and width, then for each channel
/// `(pixel * scale - mean) / std`, in planes (NCHW).
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
    /// Subtracted from each channel, after `scale`.
    pub mean: [f32; 3],
    /// Divides each channel, after `mean`.
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
    fn json_has_plain_words() {
        let json = serde_json::to_value(Preprocessing::default()).unwrap();
        assert_eq!((&json["resize"], &json["channels"]), (&"crop".into(), &"rgb".into()));
    }
}
