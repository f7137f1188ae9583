//! From a frame as its source delivered it to packed RGB.

use super::{Turning, raw};
use crate::error::Result;
use crate::frame::{Frame, PixelFormat};
use crate::picture::{Decoded, decode_jpeg_in_part};

/// Decodes `frame` and turns it as `turning` says. A damaged picture is decoded as far as it goes.
///
/// YUV is read as BT.601 with limited range (Y 16 to 235), what cameras of standard definition and webcams send; the
/// colours of a camera that sends BT.709 or full range are slightly off. Rows of YUV are `frame.stride` bytes apart.
/// A JPEG's own size counts, not the frame's; it is turned upright as its EXIF orientation says; Motion JPEG without
/// Huffman tables is decoded with the typical ones.
///
/// # Errors
/// [`Image`](crate::error::ErrorKind::Image) when the bytes are too few, or are no JPEG that can be decoded; it names [`Frame::origin`].
pub fn decode(frame: &Frame, turning: Turning) -> Result<Decoded> {
    let decoded = match frame.format {
        PixelFormat::Jpeg => decode_jpeg_in_part(&frame.data),
        _ => raw::decode(frame).map(|image| Decoded { image, damage: None }),
    };
    let Decoded { image, damage } = decoded.map_err(|error| error.at(frame.place()))?;
    Ok(Decoded { image: turning.apply(image), damage: frame.damage.or(damage) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Rotation;
    use crate::frame::RgbImage;
    use crate::picture::jpeg::tests::{sample, with_orientation, without_tables};

    fn decoded(frame: &Frame) -> Result<RgbImage> {
        decode(frame, Turning::default()).map(|decoded| decoded.image)
    }

    fn frame(format: PixelFormat, width: u32, height: u32, stride: u32, data: Vec<u8>) -> Frame {
        Frame { format, width, height, stride, data, ..Frame::from_image(RgbImage::filled(1, 1, [0; 3]), 7) }
    }

    fn assert_close(got: [u8; 3], expected: [u8; 3], place: impl std::fmt::Debug) {
        let close = got.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 3);
        assert!(close, "{got:?} instead of {expected:?} at {place:?}");
    }

    #[test]
    fn jpeg_decodes_with_and_without_its_tables() {
        let jpeg = sample(48, 32);
        let with = decoded(&frame(PixelFormat::Jpeg, 0, 0, 0, jpeg.clone())).unwrap();
        assert_eq!((with.width, with.height), (48, 32));
        assert_close(with.pixel(20, 10), [60, 50, 90], "jpeg");
        let mut stripped = without_tables(&jpeg);
        stripped.extend_from_slice(&[0; 50]); // a driver's padding
        assert_eq!(decoded(&frame(PixelFormat::Jpeg, 48, 32, 0, stripped)).unwrap(), with);
    }

    #[test]
    fn what_is_damaged_is_decoded_as_far_as_it_goes_and_turned() {
        let jpeg = sample(48, 32);
        let mut cut = frame(PixelFormat::Jpeg, 0, 0, 0, jpeg[..jpeg.len() - 2].to_vec());
        let turning = Turning { rotation: Rotation::Quarter, ..Turning::default() };
        let found = decode(&cut, turning).unwrap();
        assert_eq!((found.image.width, found.damage), (32, Some("ends before its end marker")));
        cut.damage = Some("is odd");
        assert_eq!(decode(&cut, turning).unwrap().damage, Some("is odd"), "the source knows best");
        let upright = frame(PixelFormat::Jpeg, 0, 0, 0, with_orientation(&jpeg, 6));
        assert_eq!(decoded(&upright).unwrap().width, 32);
    }

    #[test]
    fn errors_say_which_frame_or_file() {
        let mut bad = frame(PixelFormat::Jpeg, 0, 0, 0, b"hello".to_vec());
        assert!(decoded(&bad).unwrap_err().to_string().starts_with("frame 7: not a JPEG"));
        bad.origin = Some("cats/1.jpg".into());
        assert!(decoded(&bad).unwrap_err().to_string().starts_with("cats/1.jpg: "));
    }
}
