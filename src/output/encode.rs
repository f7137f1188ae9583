//! Pictures as PNG or JPEG bytes.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageResult};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;

/// How a picture is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Png,
    /// With a quality from 1 to 100.
    Jpeg(u8),
}

impl Encoding {
    /// The complete file for `image`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] for a picture that the format cannot hold (empty, or a JPEG wider or taller than
    /// 65535 pixels).
    pub(crate) fn encode(self, image: &RgbImage) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoded = match self {
            Self::Png => write(PngEncoder::new(&mut bytes), image),
            Self::Jpeg(quality) => write(JpegEncoder::new_with_quality(&mut bytes, quality), image),
        };
        match encoded {
            Ok(()) => Ok(bytes),
            Err(error) => {
                let message = format!("cannot encode a picture of {}x{}: {error}", image.width, image.height);
                Err(Error::new(ErrorKind::Output, message).caused_by(error))
            }
        }
    }
}

fn write(encoder: impl ImageEncoder, image: &RgbImage) -> ImageResult<()> {
    encoder.write_image(&image.pixels, image.width, image.height, ExtendedColorType::Rgb8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_survive_encoding() {
        let image = RgbImage::filled(33, 17, [200, 40, 90]);
        for encoding in [Encoding::Png, Encoding::Jpeg(90)] {
            let decoded = image::load_from_memory(&encoding.encode(&image).unwrap()).unwrap().into_rgb8();
            assert_eq!(decoded.dimensions(), (33, 17));
            let close = decoded.iter().zip(&image.pixels).all(|(a, b)| a.abs_diff(*b) <= 3);
            assert!(close && (encoding != Encoding::Png || decoded.as_raw() == &image.pixels), "{encoding:?}");
        }
    }

    #[test]
    fn what_a_format_cannot_hold_is_an_error() {
        let error = Encoding::Jpeg(90).encode(&RgbImage::filled(70_000, 1, [0; 3])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert!(error.to_string().contains("70000x1"), "{error}");
    }
}
