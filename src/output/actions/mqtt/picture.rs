//! Pictures as they are sent: JPEG, not larger than a broker and a dashboard take.

use super::super::super::encode::Encoding;
use super::SIDE;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::picture::resize::{Filter, Part, Resizer};

/// Scales and encodes.
pub(super) struct Pictures {
    resizer: Resizer,
    encoding: Encoding,
}

impl Pictures {
    pub(super) fn new(jpeg_quality: u8) -> Self {
        Self { resizer: Resizer::default(), encoding: Encoding::Jpeg(jpeg_quality) }
    }

    /// `picture` as JPEG, with [`SIDE`] pixels on its longer side at most.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] for an empty one.
    pub(super) fn jpeg(&mut self, picture: &RgbImage) -> Result<Vec<u8>> {
        let (width, height) = (picture.width, picture.height);
        let longer = width.max(height);
        if longer <= SIDE {
            return self.encoding.encode(picture);
        }
        let scaled = |side: u32| {
            let side = u64::from(side) * u64::from(SIDE) / u64::from(longer);
            // Not above SIDE.
            u32::try_from(side).unwrap_or(SIDE).max(1)
        };
        let (width, height) = (scaled(width), scaled(height));
        let mut pixels = Vec::new();
        let resized = self.resizer.resize(Part::whole(picture), Filter::Bilinear, (width, height), &mut pixels);
        resized.map_err(|e| Error::new(ErrorKind::Output, e.to_string()).caused_by(e))?;
        self.encoding.encode(&RgbImage::new(width, height, pixels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_are_scaled_down() {
        let mut pictures = Pictures::new(85);
        for (size, sent) in [((640, 480), (640, 480)), ((4000, 3000), (1280, 960)), ((1, 5000), (1, 1280))] {
            let jpeg = pictures.jpeg(&RgbImage::filled(size.0, size.1, [200, 40, 90])).unwrap();
            let decoded = crate::picture::decode(&jpeg).unwrap();
            assert_eq!((decoded.width, decoded.height), sent);
            let [red, green, _] = decoded.pixel(sent.0 / 2, sent.1 / 2);
            assert!(red.abs_diff(200) < 4 && green.abs_diff(40) < 4);
        }
    }
}
