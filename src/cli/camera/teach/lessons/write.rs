//! Pictures from the loop, written.

use std::sync::mpsc::Receiver;

use super::super::shutter::Taken;
use super::Inner;
use crate::cli::log::{self, Level};
use crate::cpu;
use crate::error::Result;
use crate::frame::RgbImage;
use crate::output::encode::Encoding;
use crate::picture::resize::{Filter, Part, Resizer};

/// The longer side that a picture is kept with at most: networks look at less, and so do people.
const LONGEST_SIDE: u32 = 640;
/// Quality of the pictures that are kept.
const QUALITY: u8 = 92;
/// Captures that can be undone.
const UNDONE: usize = 1000;

impl Inner {
    /// Writes pictures until no more can come.
    pub(super) fn write_all(&self, taken: &Receiver<Taken>) {
        cpu::lower_priority();
        let mut resizer = Resizer::default();
        for (class, image) in taken {
            let added = encode(&image, &mut resizer).and_then(|jpeg| {
                let mut state = self.lock();
                let name = state.collection.add(&class, &jpeg)?;
                state.captured.push_back((class, name));
                if state.captured.len() > UNDONE {
                    state.captured.pop_front();
                }
                Ok(())
            });
            if let Err(error) = added {
                self.shutter.stop();
                let error = error.at("teach");
                log::error(Level::Warn, &error);
                self.lock().trouble = Some(error.to_string());
            }
        }
    }
}

/// The picture as a file, scaled down where it is larger than it need be.
pub(super) fn encode(image: &RgbImage, resizer: &mut Resizer) -> Result<Vec<u8>> {
    let longest = image.width.max(image.height);
    if longest <= LONGEST_SIDE {
        return Encoding::Jpeg(QUALITY).encode(image);
    }
    let side = |side: u32| {
        let scaled = u64::from(side) * u64::from(LONGEST_SIDE) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(LONGEST_SIDE).max(1)
    };
    let (width, height) = (side(image.width), side(image.height));
    let mut pixels = Vec::new();
    resizer.resize(Part::whole(image), Filter::Bilinear, (width, height), &mut pixels)?;
    Encoding::Jpeg(QUALITY).encode(&RgbImage::new(width, height, pixels))
}
