//! Running a network: an ONNX file becomes a [`Session`], pictures become its input, its output becomes labels.

mod device;
mod executed;
mod gpu;
mod heat;
mod labels;
mod load;
mod network;
mod options;
mod prepared;
mod preprocess;
mod session;
pub(crate) mod sidecar;
mod steps;
mod tensors;

pub use crate::optimize::Traffic;
pub use device::{Device, check_cuda};
pub use executed::{ComputeType, Executed, Execution, Kernel, Left, Operation};
pub use labels::parse_labels;
pub use load::Model;
pub(crate) use network::Network;
pub use network::StepClock;
pub use options::SessionOptions;
pub use preprocess::Preprocessor;
pub use session::{FellBack, Session};
pub use steps::Step;
pub(crate) use tensors::Tensors;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Area, RgbImage};
use crate::prediction::{HeatMap, Prediction, StageTimes, Unknown};

/// What a network says of one picture.
#[derive(Debug, Clone)]
pub struct Classification {
    /// The best classes, most probable first.
    pub predictions: Vec<Prediction>,
    /// Whether it is of something that the network does not know; `None` where that is not told.
    pub unknown: Option<Unknown>,
    /// How long it took; decoding happened before and is zero.
    pub stages: StageTimes,
}

/// Something that labels pictures.
pub trait Classifier {
    /// The model's name.
    fn name(&self) -> Arc<str>;

    /// First 16 hexadecimal digits of the model file's SHA-256.
    fn hash(&self) -> Arc<str>;

    /// The labels of its classes, by class; empty where they are not known.
    fn class_labels(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// Channels, height and width of its input; `None` where that is not known.
    fn input_size(&self) -> Option<[usize; 3]> {
        None
    }

    /// The `k` most probable classes of `image`; all of them if there are fewer.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Shape`] for an empty picture, [`crate::error::ErrorKind::Model`] if the network fails.
    fn classify(&mut self, image: &RgbImage, k: usize) -> Result<Classification>;

    /// As [`classify`](Self::classify), of a part of `image` as if it were all there is.
    ///
    /// # Errors
    /// As [`classify`](Self::classify); [`crate::error::ErrorKind::Shape`] too for a part that is not inside the picture.
    fn classify_area(&mut self, image: &RgbImage, area: Area, k: usize) -> Result<Classification> {
        if !area.is_inside(image.width, image.height) {
            let message = format!("{area} is not inside a picture of {}x{}", image.width, image.height);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.classify(&image.cropped(area), k)
    }

    /// What speaks for `class` in the picture that was classified last, and where; `area` is the part of it that was classified. `None`
    /// from a classifier without heat maps.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Model`] if the network fails, or has no such class.
    fn heat_map(&mut self, area: Area, class: usize) -> Result<Option<HeatMap>> {
        let _ = (area, class);
        Ok(None)
    }

    /// As many pictures as are best classified together.
    fn batch(&self) -> usize {
        1
    }

    /// As [`classify`](Self::classify), of several pictures; times are those of all, shared out evenly.
    ///
    /// # Errors
    /// As [`classify`](Self::classify).
    fn classify_batch(&mut self, images: &[RgbImage], k: usize) -> Result<Vec<Classification>> {
        images.iter().map(|image| self.classify(image, k)).collect()
    }
}
