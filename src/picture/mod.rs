//! JPEG, PNG, WebP and BMP pictures: from files and bytes to RGB.
//!
//! JPEG is decoded by zune-jpeg, the others by the `image` crate. Decoders may differ by a few of 255 steps in a pixel, as
//! the standard leaves them some freedom: so accuracies measured through libjpeg differ in a picture or two of thousands.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder};

use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::frame::RgbImage;

pub(crate) mod jpeg;
mod memory;
pub(crate) mod resize;
pub(crate) mod turn;

pub use memory::set_most_memory;

use turn::Turn;

/// Reads and decodes the picture in a file: JPEG, PNG, WebP or BMP.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Image`] when it is no picture; both name it.
pub fn read(path: &Path) -> Result<RgbImage> {
    decode(&read_file(path)?).map_err(|e| e.at(path.display()))
}

/// The bytes of a file that may be one picture.
///
/// # Errors
/// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Image`] when it is larger than a picture may be here.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |e| Error::io(ErrorKind::Io, "read", path, e);
    let length = fs::metadata(path).map_err(unreadable)?.len();
    memory::check(format_args!("{} of {} MiB", path.display(), length >> 20), jpeg::COPIES.saturating_mul(length))?;
    // A device says that it is empty.
    files::read(path, memory::most() / jpeg::COPIES).map_err(unreadable)
}

/// Whether a file of this name is taken for a picture: it ends in bmp, jpeg, jpg, png or webp, in small or capital letters.
pub fn has_picture_name(path: &Path) -> bool {
    const NAMES: [&str; 5] = ["bmp", "jpeg", "jpg", "png", "webp"];
    path.extension().is_some_and(|e| NAMES.iter().any(|wanted| e.eq_ignore_ascii_case(wanted)))
}

/// Whether `bytes` begin as a JPEG picture does.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

/// A decoded picture, upright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What there is of it; gray where it is missing.
    pub image: RgbImage,
    /// What is wrong with it, if it is damaged: words that follow "the picture", such as "ends before its end marker".
    pub damage: Option<&'static str>,
}

/// Decodes a picture and turns it upright, as its EXIF orientation says. Transparency is dropped, 16 bits become 8, of an animation
/// the first picture is taken.
///
/// # Errors
/// [`ErrorKind::Image`] when the bytes are none of JPEG, PNG, WebP and BMP, or damaged, or of a picture that takes too much memory.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    if is_jpeg(bytes) {
        return decode_jpeg(bytes);
    }
    let failed = |e: image::ImageError| {
        let message = format!("no JPEG, PNG, WebP or BMP picture that can be decoded: {e}");
        Error::new(ErrorKind::Image, message).caused_by(e)
    };
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|e| failed(image::ImageError::IoError(e)))?;
    // Bytes of a pixel beside those of the decoded file: as RGB later; WebP's decoder has planes of its own before.
    let beside = if reader.format() == Some(image::ImageFormat::WebP) { 4 } else { 3 };
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let turn = decoder.orientation().map_or(Turn::default(), Turn::of);
    // As it is in the file, as RGB, and turned; two of them at a time.
    let pixels = u64::from(width) * u64::from(height);
    let cost = decoder.total_bytes().saturating_add(beside * pixels).max(if turn.transpose { 6 * pixels } else { 0 });
    memory::check(format_args!("a picture of {width}x{height}"), cost.saturating_add(bytes.len() as u64))?;
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?.into_rgb8();
    Ok(turn.apply(RgbImage::new(width, height, image.into_raw())))
}

/// Decodes the first JPEG in `bytes`, upright; drivers leave padding before and behind it. Motion JPEG without Huffman
/// tables is decoded with the typical ones.
///
/// # Errors
/// [`ErrorKind::Image`] when the bytes are no JPEG, or a damaged one, or one that takes too much memory.
pub fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage> {
    let Decoded { image, damage } = decode_jpeg_in_part(bytes)?;
    match damage {
        None => Ok(image),
        Some(what) => Err(Error::new(ErrorKind::Image, format!("the JPEG picture {what}"))),
    }
}

/// As [`decode_jpeg`], and damaged ones as far as they go.
///
/// # Errors
/// [`ErrorKind::Image`] when nothing can be decoded.
pub fn decode_jpeg_in_part(bytes: &[u8]) -> Result<Decoded> {
    jpeg::decode(bytes)
}

/// Whether a picture of this size may be decoded here.
#[cfg(feature = "camera")]
pub(crate) fn may_decode(width: u32, height: u32) -> bool {
    memory::check("", 6_u64.saturating_mul(u64::from(width) * u64::from(height))).is_ok()
}

/// Whether there is a JPEG in `bytes` of which something can be shown.
#[cfg(feature = "camera")]
pub(crate) fn holds_jpeg(bytes: &[u8]) -> bool {
    let mut splitter = jpeg::Splitter::over(bytes);
    std::iter::from_fn(|| splitter.next()).any(|found| matches!(found, jpeg::Found::Picture(_)))
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};

    use super::jpeg::tests::{sample, with_orientation};
    use super::*;

    fn png(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).unwrap();
        bytes
    }

    #[test]
    fn png_of_any_kind_becomes_rgb() {
        for (pixels, color, expected) in [
            (&[10, 20, 30][..], ExtendedColorType::Rgb8, [10, 20, 30]),
            (&[10, 20, 30, 0], ExtendedColorType::Rgba8, [10, 20, 30]),
            (&[77], ExtendedColorType::L8, [77, 77, 77]),
            (&[77, 9], ExtendedColorType::La8, [77, 77, 77]),
        ] {
            assert_eq!(decode(&png(pixels, 1, 1, color)).unwrap(), RgbImage::new(1, 1, expected.into()), "{color:?}");
        }
    }

    #[test]
    fn webp_and_bmp_are_read() {
        let pixels: Vec<u8> = (0..5 * 3 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let (mut webp, mut bmp) = (Vec::new(), Vec::new());
        let lossless = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
        lossless.write_image(&pixels, 5, 3, ExtendedColorType::Rgb8).unwrap();
        image::codecs::bmp::BmpEncoder::new(&mut bmp).encode(&pixels, 5, 3, ExtendedColorType::Rgb8).unwrap();
        for bytes in [webp, bmp] {
            assert_eq!(decode(&bytes).unwrap(), RgbImage::new(5, 3, pixels.clone()));
            for length in 0..bytes.len() {
                let _ = decode(&bytes[..length]);
            }
            assert!(decode(&bytes[..bytes.len() / 2]).is_err());
        }
        assert!(has_picture_name(Path::new("a.WebP")) && has_picture_name(Path::new("a.bmp")));
    }

    #[test]
    fn pictures_are_turned_upright() {
        let jpeg = sample(24, 16);
        let upright = decode(&jpeg).unwrap();
        for (orientation, width) in [(1, 24), (3, 24), (6, 16), (8, 16)] {
            let turned = decode(&with_orientation(&jpeg, orientation)).unwrap();
            let corner =
                [(0, 0), (23, 15), (15, 0), (0, 23)][[1, 3, 6, 8].iter().position(|&n| n == orientation).unwrap()];
            assert_eq!((turned.width, turned.pixel(corner.0, corner.1)), (width, upright.pixel(0, 0)), "{orientation}");
        }
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec()).unwrap();
        encoder.write_image(&[1, 1, 1, 2, 2, 2], 2, 1, ExtendedColorType::Rgb8).unwrap();
        assert_eq!(decode(&bytes).unwrap(), RgbImage::new(1, 2, vec![1, 1, 1, 2, 2, 2]));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        assert_eq!(read(&file("a.jpg", &sample(24, 16))).unwrap().width, 24);
        let rgb = png(&[0; 300], 10, 10, ExtendedColorType::Rgb8);
        for (path, wanted) in [
            (file("b.jpg", &sample(24, 16)[..680]), "b.jpg: the JPEG picture ends before its end marker"),
            (file("b2.jpg", &sample(24, 16)[..200]), "b2.jpg: not a JPEG picture: a picture without image data"),
            (file("c.png", &rgb[..50]), "c.png: no JPEG, PNG, WebP or BMP picture"),
            (file("d.png", b"hello"), "d.png: no JPEG, PNG, WebP or BMP picture"),
            (file("e.png", b""), "e.png: no JPEG, PNG, WebP or BMP picture"),
        ] {
            let error = read(&path).unwrap_err();
            assert!(error.kind() == ErrorKind::Image && error.to_string().contains(wanted), "{error}");
        }
        let large = folder.path().join("large.png");
        fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
        let error = read(&large).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Image && error.to_string().contains("large.png of 1024 MiB takes"),
            "{error}"
        );
        let error = read(&folder.path().join("none.png")).unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().contains("none.png: no such file"), "{error}");
    }

    #[test]
    fn huge_pictures_are_refused_before_they_are_decoded() {
        let mut jpeg = sample(16, 16);
        let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff; 4]);
        assert!(decode_jpeg(&jpeg).unwrap_err().to_string().contains("65535x65535"));
        let mut png = png(&[0; 3], 1, 1, ExtendedColorType::Rgb8);
        png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // width and height of IHDR
        let checksum = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        assert!(decode(&png).unwrap_err().to_string().contains("65536x65536"));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    #[test]
    fn damaged_jpegs_are_errors_not_panics() {
        let jpeg = sample(48, 32);
        for length in 0..jpeg.len() {
            let error = decode_jpeg(&jpeg[..length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Image);
        }
        let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let mut state = 1_u32;
        // Not the size: a picture damaged there is merely large, and slow to decode.
        for at in (0..jpeg.len()).filter(|at| !(sof + 5..sof + 9).contains(at)) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut damaged = jpeg.clone();
            damaged[at] ^= (state >> 24) as u8 | 1;
            // Whether damage inside the scan shows at all is the decoder's affair; it must come back.
            if let Err(error) = decode_jpeg(&damaged) {
                assert_eq!(error.kind(), ErrorKind::Image);
            }
        }
    }
}
