//! From a frame as its source delivered it to packed RGB.

use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use super::Turning;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::picture::{Decoded, MOST_PIXELS, decode_jpeg_in_part};

/// Decodes `frame` and turns it as `turning` says. A damaged picture is decoded as far as it goes.
///
/// YUV is read as BT.601 with limited range (Y 16 to 235), what cameras of standard definition and webcams send; the
/// colours of a camera that sends BT.709 or full range are slightly off. Rows of YUV are `frame.stride` bytes apart.
/// A JPEG's own size counts, not the frame's; it is turned upright as its EXIF orientation says; Motion JPEG without
/// Huffman tables is decoded with the typical ones.
///
/// # Errors
/// [`ErrorKind::Image`] when the bytes are too few, or are no JPEG that can be decoded; it names [`Frame::origin`].
pub fn decode(frame: &Frame, turning: Turning) -> Result<Decoded> {
    let whole = |image| Decoded { image, damage: None };
    let decoded = match frame.format {
        PixelFormat::Jpeg => decode_jpeg_in_part(&frame.data),
        PixelFormat::Rgb8 => rgb(frame).map(whole),
        PixelFormat::Yuyv => yuyv(frame).map(whole),
        PixelFormat::Nv12 => nv12(frame).map(whole),
        PixelFormat::Gray8 => gray(frame).map(whole),
    };
    let Decoded { image, damage } = decoded.map_err(|error| error.at(frame.place()))?;
    Ok(Decoded { image: turning.apply(image), damage: frame.damage.or(damage) })
}

fn rgb(frame: &Frame) -> Result<RgbImage> {
    let row = expect_size(frame, "RGB", 3 * u64::from(frame.width), 3 * u64::from(frame.width), frame.height)?;
    let length = row * frame.height as usize;
    Ok(RgbImage::new(frame.width, frame.height, frame.data[..length].to_vec()))
}

fn gray(frame: &Frame) -> Result<RgbImage> {
    let stride = expect_size(frame, "GREY", u64::from(frame.stride), u64::from(frame.width), frame.height)?;
    let rows = frame.data.chunks_exact(stride).take(frame.height as usize);
    let pixels = rows.flat_map(|row| row[..frame.width as usize].iter().flat_map(|&v| [v; 3])).collect();
    Ok(RgbImage::new(frame.width, frame.height, pixels))
}

fn yuyv(frame: &Frame) -> Result<RgbImage> {
    let row = 4 * u64::from(frame.width.div_ceil(2));
    expect_size(frame, "YUYV", u64::from(frame.stride), row, frame.height)?;
    let (width, height) = (frame.width, frame.height);
    let packed = YuvPackedImage { yuy: &frame.data, yuy_stride: frame.stride, width, height };
    let mut image = RgbImage::filled(width, height, [0; 3]);
    yuv::yuyv422_to_rgb(&packed, &mut image.pixels, width * 3, YuvRange::Limited, YuvStandardMatrix::Bt601)
        .map_err(|e| Error::new(ErrorKind::Image, format!("cannot convert YUYV of {width}x{height}")).caused_by(e))?;
    Ok(image)
}

fn nv12(frame: &Frame) -> Result<RgbImage> {
    let row = 2 * u64::from(frame.width.div_ceil(2));
    let rows = frame.height.saturating_add(frame.height.div_ceil(2));
    let stride = expect_size(frame, "NV12", u64::from(frame.stride), row, rows)?;
    let (width, height) = (frame.width, frame.height);
    let (y_plane, uv_plane) = frame.data.split_at(stride * height as usize);
    let planes = YuvBiPlanarImage { y_plane, y_stride: frame.stride, uv_plane, uv_stride: frame.stride, width, height };
    let mut image = RgbImage::filled(width, height, [0; 3]);
    let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::default());
    yuv::yuv_nv12_to_rgb(&planes, &mut image.pixels, width * 3, range, matrix, mode)
        .map_err(|e| Error::new(ErrorKind::Image, format!("cannot convert NV12 of {width}x{height}")).caused_by(e))?;
    Ok(image)
}

/// Checks that `frame` has `rows` rows of at least `row` bytes that are `stride` apart; returns the stride.
fn expect_size(frame: &Frame, name: &str, stride: u64, row: u64, rows: u32) -> Result<usize> {
    let (width, height, length) = (frame.width, frame.height, frame.data.len());
    let pixels = u64::from(width) * u64::from(height);
    let message = if pixels == 0 || pixels > MOST_PIXELS {
        format!("{name} of {width}x{height} is no picture")
    } else if stride < row {
        format!("{name} of {width}x{height} cannot have rows {stride} bytes apart")
    } else if (length as u64) < stride * u64::from(rows) {
        format!("{name} of {width}x{height} needs {} bytes, the frame has {length}", stride * u64::from(rows))
    } else {
        return Ok(stride as usize);
    };
    Err(Error::new(ErrorKind::Image, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::Rotation;
    use crate::picture::jpeg::tests::{sample, with_orientation, without_tables};

    fn decoded(frame: &Frame) -> Result<RgbImage> {
        decode(frame, Turning::default()).map(|decoded| decoded.image)
    }

    fn frame(format: PixelFormat, width: u32, height: u32, stride: u32, data: Vec<u8>) -> Frame {
        Frame { format, width, height, stride, data, ..Frame::from_image(RgbImage::filled(1, 1, [0; 3]), 7) }
    }

    /// BT.601, limited range, by the book (ITU-R BT.601-7, section 2.5).
    fn bt601(y: u8, u: u8, v: u8) -> [u8; 3] {
        let (y, u, v) = ((f64::from(y) - 16.0) / 219.0, (f64::from(u) - 128.0) / 224.0, (f64::from(v) - 128.0) / 224.0);
        [y + 1.402 * v, y - (0.114 * 1.772 * u + 0.299 * 1.402 * v) / 0.587, y + 1.772 * u]
            .map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8)
    }

    fn assert_close(got: [u8; 3], expected: [u8; 3], place: impl std::fmt::Debug) {
        let close = got.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 3);
        assert!(close, "{got:?} instead of {expected:?} at {place:?}");
    }

    /// Y, U, V of a position; U and V are the same for each 2x2 block.
    fn yuv_at(x: u32, y: u32) -> (u8, u8, u8) {
        ((40 + x * 5 + y * 3) as u8, (100 + x / 2 * 6) as u8, (170 - y / 2 * 9) as u8)
    }

    #[test]
    fn yuyv_with_padded_rows_is_bt601() {
        for (width, height) in [(8_u32, 6_u32), (34, 5), (7, 3)] {
            let (row, stride) = (width.div_ceil(2) * 4, width.div_ceil(2) * 4 + 12);
            let mut data = vec![0xee; (stride * height) as usize];
            for y in 0..height {
                for pair in 0..width.div_ceil(2) {
                    let ((a, u, v), (b, ..)) = (yuv_at(pair * 2, y), yuv_at(pair * 2 + 1, y));
                    let at = (y * stride + pair * 4) as usize;
                    data[at..at + 4].copy_from_slice(&[a, u, b, v]);
                }
            }
            let image = decoded(&frame(PixelFormat::Yuyv, width, height, stride, data.clone())).unwrap();
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                let (l, u, v) = yuv_at(x, y);
                assert_close(image.pixel(x, y), bt601(l, u, v), (width, x, y));
            }
            for (stride, length) in [(row - 1, data.len()), (stride, data.len() - 1)] {
                let short = frame(PixelFormat::Yuyv, width, height, stride, data[..length].to_vec());
                assert_eq!(decoded(&short).unwrap_err().kind(), ErrorKind::Image);
            }
        }
    }

    #[test]
    fn nv12_with_padded_rows_is_bt601() {
        for (width, height) in [(8_u32, 6_u32), (34, 5), (7, 3)] {
            let stride = width.div_ceil(2) * 2 + 10;
            let mut data = vec![0xee; (stride * (height + height.div_ceil(2))) as usize];
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                let (l, u, v) = yuv_at(x, y);
                data[(y * stride + x) as usize] = l;
                let at = ((height + y / 2) * stride + x / 2 * 2) as usize;
                data[at..at + 2].copy_from_slice(&[u, v]);
            }
            let image = decoded(&frame(PixelFormat::Nv12, width, height, stride, data.clone())).unwrap();
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                let (l, u, v) = yuv_at(x, y);
                assert_close(image.pixel(x, y), bt601(l, u, v), (width, x, y));
            }
            data.pop();
            assert!(decoded(&frame(PixelFormat::Nv12, width, height, stride, data)).is_err());
        }
    }

    #[test]
    fn gray_with_padded_rows_is_gray() {
        let data = vec![1, 2, 3, 9, 4, 5, 255, 9];
        let image = decoded(&frame(PixelFormat::Gray8, 3, 2, 4, data.clone())).unwrap();
        assert_eq!((image.pixel(2, 0), image.pixel(0, 1), image.pixel(2, 1)), ([3; 3], [4; 3], [255; 3]));
        assert!(decoded(&frame(PixelFormat::Gray8, 3, 2, 4, data[..7].to_vec())).is_err());
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
    fn huge_and_empty_pictures_are_refused() {
        for format in [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Gray8] {
            for (width, height, stride) in [(0, 4, 16), (4, 0, 16), (u32::MAX, u32::MAX, u32::MAX)] {
                assert!(decoded(&frame(format, width, height, stride, vec![0; 256])).is_err());
            }
        }
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
