//! Frames that are not compressed, to packed RGB.
//!
//! YUV is read as BT.601 with limited range (Y 16 to 235).

use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat, RgbImage};
use crate::picture;

const RANGE: YuvRange = YuvRange::Limited;
const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;

/// Decodes a frame of any format but JPEG.
///
/// # Errors
/// [`ErrorKind::Image`] for bytes that are too few, and sizes that cannot be.
pub(super) fn decode(frame: &Frame) -> Result<RgbImage> {
    check(frame)?;
    match frame.format {
        PixelFormat::Rgb8 => Ok(each_pixel(frame, |[r, g, b]| [r, g, b])),
        PixelFormat::Bgr8 => Ok(each_pixel(frame, |[b, g, r]| [r, g, b])),
        PixelFormat::Rgb565 => Ok(each_pixel(frame, rgb565)),
        PixelFormat::Gray8 => Ok(each_pixel(frame, |[y]| [y; 3])),
        PixelFormat::Gray10 => Ok(each_pixel(frame, |bytes| [(u16::from_le_bytes(bytes) >> 2).min(255) as u8; 3])),
        PixelFormat::Gray12 => Ok(each_pixel(frame, |bytes| [(u16::from_le_bytes(bytes) >> 4).min(255) as u8; 3])),
        PixelFormat::Yuyv => packed(frame, yuv::yuyv422_to_rgb),
        PixelFormat::Uyvy => packed(frame, yuv::uyvy422_to_rgb),
        PixelFormat::Yvyu => packed(frame, yuv::yvyu422_to_rgb),
        PixelFormat::Nv12 => semi_planar(frame, yuv::yuv_nv12_to_rgb),
        PixelFormat::Nv21 => semi_planar(frame, yuv::yuv_nv21_to_rgb),
        PixelFormat::I420 => planar(frame),
        PixelFormat::Jpeg => Err(Error::new(ErrorKind::Image, "a JPEG picture has no rows of pixels")),
    }
}

/// How many bytes a frame needs whose rows are `stride` bytes apart; `None` for JPEG, which may have any number.
pub(super) fn needed(format: PixelFormat, stride: u32, height: u32) -> Option<u64> {
    let (stride, height) = (u64::from(stride), u64::from(height));
    match format {
        PixelFormat::Jpeg => None,
        PixelFormat::Nv12 | PixelFormat::Nv21 => Some(stride * (height + height.div_ceil(2))),
        PixelFormat::I420 => Some(stride * height + 2 * stride.div_ceil(2) * height.div_ceil(2)),
        _ => Some(stride * height),
    }
}

/// The fewest bytes of a row of the first plane.
pub(super) fn row(format: PixelFormat, width: u32) -> u64 {
    let (width, pairs) = (u64::from(width), u64::from(width.div_ceil(2)));
    match format {
        PixelFormat::Rgb8 | PixelFormat::Bgr8 => 3 * width,
        PixelFormat::Rgb565 | PixelFormat::Gray10 | PixelFormat::Gray12 => 2 * width,
        PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Yvyu => 4 * pairs,
        PixelFormat::Nv12 | PixelFormat::Nv21 => 2 * pairs,
        PixelFormat::Gray8 | PixelFormat::I420 => width,
        PixelFormat::Jpeg => 0,
    }
}

/// Checks that `frame` has the bytes that its size needs.
fn check(frame: &Frame) -> Result<()> {
    let Frame { width, height, stride, format, .. } = *frame;
    let (name, length) = (format.name(), frame.data.len() as u64);
    let message = match needed(format, stride, height) {
        _ if width == 0 || height == 0 || !picture::may_decode(width, height) => {
            format!("{name} of {width}x{height} is no picture")
        }
        _ if u64::from(stride) < row(format, width) => {
            format!("{name} of {width}x{height} cannot have rows {stride} bytes apart")
        }
        Some(needed) if length < needed => {
            format!("{name} of {width}x{height} needs {needed} bytes, the frame has {length}")
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Image, message))
}

/// The picture of a frame with `N` bytes a pixel.
fn each_pixel<const N: usize>(frame: &Frame, rgb: impl Fn([u8; N]) -> [u8; 3]) -> RgbImage {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let rows = frame.data.chunks(frame.stride as usize).take(height);
    let pixels =
        rows.flat_map(|row| row[..width * N].as_chunks::<N>().0.iter().flat_map(|&pixel| rgb(pixel))).collect();
    RgbImage::new(frame.width, frame.height, pixels)
}

/// Five, six and five bits, the lowest byte first.
fn rgb565(bytes: [u8; 2]) -> [u8; 3] {
    let value = u16::from_le_bytes(bytes);
    let (r, g, b) = (value >> 11, value >> 5 & 0x3f, value & 0x1f);
    [r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2].map(|channel| channel as u8)
}

/// Writes RGB with rows of so many bytes.
type Convert<I> = fn(&I, &mut [u8], u32, YuvRange, YuvStandardMatrix) -> Result<(), YuvError>;

fn packed<'a>(frame: &'a Frame, convert: Convert<YuvPackedImage<'a, u8>>) -> Result<RgbImage> {
    let Frame { width, height, stride, .. } = *frame;
    let packed = YuvPackedImage { yuy: &frame.data, yuy_stride: stride, width, height };
    into_rgb(frame, |pixels| convert(&packed, pixels, width * 3, RANGE, MATRIX))
}

type ConvertSemiPlanar<'a> = fn(
    &YuvBiPlanarImage<'a, u8>,
    &mut [u8],
    u32,
    YuvRange,
    YuvStandardMatrix,
    YuvConversionMode,
) -> Result<(), YuvError>;

fn semi_planar<'a>(frame: &'a Frame, convert: ConvertSemiPlanar<'a>) -> Result<RgbImage> {
    let Frame { width, height, stride, .. } = *frame;
    let (y_plane, uv_plane) = frame.data.split_at(stride as usize * height as usize);
    let planes = YuvBiPlanarImage { y_plane, y_stride: stride, uv_plane, uv_stride: stride, width, height };
    into_rgb(frame, |pixels| convert(&planes, pixels, width * 3, RANGE, MATRIX, YuvConversionMode::default()))
}

fn planar(frame: &Frame) -> Result<RgbImage> {
    let Frame { width, height, stride, .. } = *frame;
    let half = stride.div_ceil(2);
    let (y_plane, chroma) = frame.data.split_at(stride as usize * height as usize);
    let (u_plane, v_plane) = chroma.split_at(half as usize * height.div_ceil(2) as usize);
    let planes =
        YuvPlanarImage { y_plane, y_stride: stride, u_plane, u_stride: half, v_plane, v_stride: half, width, height };
    into_rgb(frame, |pixels| yuv::yuv420_to_rgb(&planes, pixels, width * 3, RANGE, MATRIX))
}

fn into_rgb(frame: &Frame, convert: impl FnOnce(&mut [u8]) -> Result<(), YuvError>) -> Result<RgbImage> {
    let mut image = RgbImage::filled(frame.width, frame.height, [0; 3]);
    convert(&mut image.pixels).map_err(|error| {
        let message = format!("cannot convert {} of {}x{}", frame.format.name(), frame.width, frame.height);
        Error::new(ErrorKind::Image, message).caused_by(error)
    })?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(format: PixelFormat, width: u32, height: u32, stride: u32, data: Vec<u8>) -> Frame {
        Frame { format, width, height, stride, data, ..Frame::from_image(RgbImage::filled(1, 1, [0; 3]), 7) }
    }

    /// BT.601, limited range, by the book (ITU-R BT.601-7, section 2.5).
    fn bt601((y, u, v): (u8, u8, u8)) -> [u8; 3] {
        let (y, u, v) = ((f64::from(y) - 16.0) / 219.0, (f64::from(u) - 128.0) / 224.0, (f64::from(v) - 128.0) / 224.0);
        [y + 1.402 * v, y - (0.114 * 1.772 * u + 0.299 * 1.402 * v) / 0.587, y + 1.772 * u]
            .map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8)
    }

    /// Y, U, V of a position; U and V are the same for each 2x2 block.
    fn yuv_at(x: u32, y: u32) -> (u8, u8, u8) {
        ((40 + x * 5 + y * 3) as u8, (100 + x / 2 * 6) as u8, (170 - y / 2 * 9) as u8)
    }

    /// Decodes what `put` wrote, position by position, into rows with padding; then the same with too little of it.
    fn assert_decodes(
        format: PixelFormat,
        put: impl Fn(&mut [u8], u32, u32, (u32, u32)),
        expected: impl Fn(u32, u32) -> [u8; 3],
    ) {
        for (width, height) in [(8_u32, 6_u32), (34, 5), (7, 3), (1, 1)] {
            let stride = row(format, width) as u32 + 12;
            let length = needed(format, stride, height).unwrap() as usize;
            let mut data = vec![0xee; length];
            let positions = || (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)));
            positions().for_each(|at| put(&mut data, stride, height, at));
            let image = decode(&frame(format, width, height, stride, data.clone())).unwrap();
            assert_eq!((image.width, image.height), (width, height));
            for (x, y) in positions() {
                let (got, expected) = (image.pixel(x, y), expected(x, y));
                let close = got.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 3);
                assert!(close, "{format:?} {width}x{height}: {got:?} instead of {expected:?} at {x}, {y}");
            }
            let least = row(format, width) as u32;
            for (stride, length) in [(least - 1, length), (stride, length - 1)] {
                let short = frame(format, width, height, stride, data[..length].to_vec());
                assert_eq!(decode(&short).unwrap_err().kind(), ErrorKind::Image);
            }
        }
    }

    #[test]
    fn packed_yuv_is_bt601() {
        for (format, y, u, v) in
            [(PixelFormat::Yuyv, 0, 1, 3), (PixelFormat::Uyvy, 1, 0, 2), (PixelFormat::Yvyu, 0, 3, 1)]
        {
            let put = |data: &mut [u8], stride: u32, _: u32, (x, line): (u32, u32)| {
                let pair = &mut data[(line * stride + x / 2 * 4) as usize..][..4];
                let (l, cb, cr) = yuv_at(x, line);
                pair[y + 2 * (x as usize % 2)] = l;
                (pair[u], pair[v]) = (cb, cr);
            };
            assert_decodes(format, put, |x, y| bt601(yuv_at(x, y)));
        }
    }

    #[test]
    fn planes_of_yuv_are_bt601() {
        for (format, u, v) in [(PixelFormat::Nv12, 0, 1), (PixelFormat::Nv21, 1, 0)] {
            let put = |data: &mut [u8], stride: u32, height: u32, (x, y): (u32, u32)| {
                let (l, cb, cr) = yuv_at(x, y);
                data[(y * stride + x) as usize] = l;
                let pair = &mut data[((height + y / 2) * stride + x / 2 * 2) as usize..][..2];
                (pair[u], pair[v]) = (cb, cr);
            };
            assert_decodes(format, put, |x, y| bt601(yuv_at(x, y)));
        }
        let put = |data: &mut [u8], stride: u32, height: u32, (x, y): (u32, u32)| {
            let (l, cb, cr) = yuv_at(x, y);
            let (half, chroma) = (stride.div_ceil(2), stride * height);
            data[(y * stride + x) as usize] = l;
            data[(chroma + y / 2 * half + x / 2) as usize] = cb;
            data[(chroma + half * height.div_ceil(2) + y / 2 * half + x / 2) as usize] = cr;
        };
        assert_decodes(PixelFormat::I420, put, |x, y| bt601(yuv_at(x, y)));
    }

    #[test]
    fn colours_are_in_their_order() {
        let color = |x: u32, y: u32| [(x * 7) as u8, (y * 50) as u8, 200 - x as u8];
        for (format, order) in [(PixelFormat::Rgb8, [0, 1, 2]), (PixelFormat::Bgr8, [2, 1, 0])] {
            let put = |data: &mut [u8], stride: u32, _: u32, (x, y): (u32, u32)| {
                let bytes = order.map(|channel| color(x, y)[channel]);
                data[(y * stride + 3 * x) as usize..][..3].copy_from_slice(&bytes);
            };
            assert_decodes(format, put, color);
        }
        for (bytes, expected) in [
            ([0x00, 0xf8], [255, 0, 0]),
            ([0xe0, 0x07], [0, 255, 0]),
            ([0x1f, 0x00], [0, 0, 255]),
            ([0xff, 0xff], [255; 3]),
            ([0x10, 0x84], [132, 130, 132]),
        ] {
            assert_eq!(decode(&frame(PixelFormat::Rgb565, 1, 1, 2, bytes.to_vec())).unwrap().pixel(0, 0), expected);
        }
    }

    #[test]
    fn gray_is_scaled_to_eight_bits() {
        for (format, bits) in [(PixelFormat::Gray8, 8), (PixelFormat::Gray10, 10), (PixelFormat::Gray12, 12)] {
            let value = |x: u32, y: u32| ((x * 37 + y * 251) & ((1 << bits) - 1)) as u16;
            let bytes = if bits == 8 { 1 } else { 2 };
            let put = |data: &mut [u8], stride: u32, _: u32, (x, y): (u32, u32)| {
                let at = (y * stride) as usize + x as usize * bytes;
                data[at..at + bytes].copy_from_slice(&value(x, y).to_le_bytes()[..bytes]);
            };
            let scaled =
                |x: u32, y: u32| [(f64::from(value(x, y)) / f64::from((1 << bits) - 1) * 255.0).round() as u8; 3];
            assert_decodes(format, put, scaled);
        }
    }

    #[test]
    fn huge_and_empty_pictures_are_refused() {
        for format in PixelFormat::ALL {
            for (width, height, stride) in [(0, 4, 16), (4, 0, 16), (u32::MAX, u32::MAX, u32::MAX)] {
                assert!(decode(&frame(format, width, height, stride, vec![0; 256])).is_err(), "{format:?}");
            }
        }
    }
}
