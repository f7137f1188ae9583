//! JPEG as files and cameras have it: complete, without Huffman tables, damaged (ITU-T T.81, annex B).

pub(crate) mod splitter;

mod segment;
mod tables;

pub(crate) use splitter::{Found, Splitter};

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::turn::Turn;
use super::{Decoded, memory};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;

/// Start of image.
const SOI: u8 = 0xd8;
/// End of image.
const EOI: u8 = 0xd9;
/// Start of scan: entropy-coded data follows the segment.
const SOS: u8 = 0xda;
/// Define Huffman tables.
const DHT: u8 = 0xc4;

/// One picture of a stream, from SOI to EOI.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// Its bytes; of a damaged one those that make sense.
    bytes: Vec<u8>,
    /// Where the first scan's marker is, if there is a scan.
    first_scan: Option<usize>,
    /// Whether Huffman tables are defined before the first scan.
    has_tables: bool,
    /// Scans that it has: where there are several, all coefficients are kept while it is decoded.
    scans: u64,
    /// Whether its size is defined before the first scan.
    has_frame: bool,
    /// What is wrong with it: "the picture ..."
    pub(crate) damage: Option<&'static str>,
}

impl Picture {
    /// The picture's bytes, with the typical Huffman tables put in where it has none, and an end where that is missing.
    /// Motion JPEG leaves the tables out by convention, to save bytes; decoders of still pictures need them.
    pub(crate) fn into_complete(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        if let Some(scan) = self.first_scan.filter(|_| !self.has_tables) {
            let length = 2 + tables::TYPICAL_TABLES.iter().map(|table| table.len()).sum::<usize>();
            let segment =
                [&[0xff, DHT, (length >> 8) as u8, length as u8][..], &tables::TYPICAL_TABLES.concat()].concat();
            bytes.splice(scan..scan, segment);
        }
        if !bytes.ends_with(&[0xff, EOI]) {
            bytes.extend_from_slice(&[0xff, EOI]);
        }
        bytes
    }

    /// Whether anything of it can be shown.
    fn has_image(&self) -> bool {
        self.has_frame && self.first_scan.is_some()
    }
}

/// Decodes the first picture in `bytes` as far as it goes, upright; bytes before and behind it do not count.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded> {
    let mut splitter = Splitter::over(bytes);
    let mut flaw = "no start-of-image marker";
    let picture = loop {
        match splitter.next() {
            Some(Found::Picture(picture)) => break picture,
            Some(Found::Lost(what)) => flaw = what,
            None => return Err(Error::new(ErrorKind::Image, format!("not a JPEG picture: {flaw}"))),
        }
    };
    let (damage, scans) = (picture.damage, picture.scans);
    decode_complete(&picture.into_complete(), damage, scans)
}

fn decode_complete(bytes: &[u8], damage: Option<&'static str>, scans: u64) -> Result<Decoded> {
    let failed = |e: DecodeErrors| Error::new(ErrorKind::Image, format!("cannot decode JPEG: {e}")).caused_by(e);
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    let turn = decoder.exif().map_or(Turn::default(), |exif| Turn::of_exif(exif));
    let is_gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if is_gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
    let coefficients = if scans > 1 { 2 * decoder.info().map_or(4, |info| u64::from(info.components)) } else { 0 };
    let each = coefficients + if turn.transpose { 6 } else { 4 };
    let cost = each * u64::from(width) * u64::from(height) + COPIES * bytes.len() as u64;
    memory::check(format_args!("a picture of {width}x{height}"), cost)?;
    let mut pixels = vec![UNKNOWN; width as usize * height as usize * wanted.num_components()];
    let damage = match decoder.decode_into(&mut pixels) {
        Ok(()) => damage,
        // What came before the place of the error is there.
        Err(error) if pixels.iter().all(|&value| value == UNKNOWN) => return Err(failed(error)),
        Err(_) => Some("cannot be decoded to its end"),
    };
    if is_gray {
        pixels = pixels.into_iter().flat_map(|value| [value; 3]).collect();
    }
    Ok(Decoded { image: turn.apply(RgbImage::new(width, height, pixels)), damage })
}

/// How often the encoded bytes are in memory at a time.
pub(super) const COPIES: u64 = 3;

/// Gray, as the decoder leaves it too, where a picture is missing.
const UNKNOWN: u8 = 128;

#[cfg(test)]
pub(crate) mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    /// A small JPEG of a gradient.
    pub(crate) fn sample(width: u32, height: u32) -> Vec<u8> {
        let pixels: Vec<u8> =
            (0..width * height).flat_map(|i| [(i % width * 3) as u8, (i / width * 5) as u8, 90]).collect();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95)
            .encode(&pixels, width, height, image::ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    /// `jpeg` without its DHT segments, found by walking the segments up to the first scan.
    pub(crate) fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let mut stripped = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != SOS {
            let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != DHT {
                stripped.extend_from_slice(&jpeg[at..end]);
            }
            at = end;
        }
        stripped.extend_from_slice(&jpeg[at..]);
        stripped
    }

    /// Where the data of `jpeg`'s only scan begins.
    pub(crate) fn scan_of(jpeg: &[u8]) -> usize {
        let sos = jpeg.windows(4).position(|w| w == [0xff, SOS, 0, 12]).unwrap();
        sos + 14
    }

    /// `jpeg` with an EXIF segment that says how it lies.
    pub(crate) fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let tiff = [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]];
        let body = [b"Exif\0\0".as_slice(), &tiff.concat()].concat();
        let segment = [&[0xff, 0xe1, 0, 2 + body.len() as u8], body.as_slice()].concat();
        [&jpeg[..2], &segment, &jpeg[2..]].concat()
    }

    #[test]
    fn typical_tables_are_those_an_encoder_writes() {
        let jpeg = sample(24, 24);
        let stripped = without_tables(&jpeg);
        assert!(stripped.len() + 400 < jpeg.len());
        let complete = |bytes: &[u8]| match Splitter::over(bytes).next() {
            Some(Found::Picture(picture)) => picture.into_complete(),
            other => panic!("{other:?}"),
        };
        let decode = |bytes: &[u8]| image::load_from_memory(bytes).map(|i| i.into_rgb8().into_raw());
        assert_eq!(decode(&complete(&stripped)).unwrap(), decode(&jpeg).unwrap());
        assert!(decode(&stripped).is_err(), "the decoder needs the tables");
        assert_eq!(complete(&jpeg), jpeg, "nothing is added twice");
    }

    #[test]
    fn a_cut_off_picture_is_shown_as_far_as_it_goes() {
        let jpeg = sample(64, 64);
        let whole = decode(&jpeg).unwrap();
        assert_eq!(whole.damage, None);
        let without_end = decode(&jpeg[..jpeg.len() - 2]).unwrap();
        assert_eq!((without_end.damage, &without_end.image), (Some("ends before its end marker"), &whole.image));
        let scan = scan_of(&jpeg);
        let half = decode(&jpeg[..scan + (jpeg.len() - scan) / 2]).unwrap();
        assert!(half.damage.is_some());
        let same = |rows: std::ops::Range<usize>| {
            half.image.pixels[rows.start * 192..rows.end * 192] == whole.image.pixels[rows.start * 192..rows.end * 192]
        };
        assert!(same(0..16) && !same(48..64));
    }

    #[test]
    fn every_truncation_is_noticed() {
        let jpeg = sample(24, 24);
        let scan = scan_of(&jpeg);
        for length in 0..jpeg.len() {
            match decode(&jpeg[..length]) {
                Ok(decoded) => assert!(length >= scan && decoded.damage.is_some(), "{length} bytes"),
                Err(error) => assert!(length <= scan + 2 && error.kind() == ErrorKind::Image, "{length}: {error}"),
            }
        }
    }

    #[test]
    fn a_marker_that_the_data_cannot_have_does_not_end_it() {
        let jpeg = sample(64, 64);
        let scan = scan_of(&jpeg);
        let at = scan + (jpeg.len() - scan) / 2;
        for marker in [0x3c, 0xc0, 0xc4, 0xda, 0xe1, 0xd8, 0xfe, 0x01] {
            let mut damaged = jpeg.clone();
            damaged[at..at + 2].copy_from_slice(&[0xff, marker]);
            let decoded = decode(&damaged).unwrap();
            assert_eq!((decoded.damage, decoded.image.width), (Some("holds bytes that no JPEG has"), 64), "{marker:x}");
        }
    }

    #[test]
    fn gray_is_gray_and_sizes_need_not_be_multiples_of_eight() {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        image::ImageEncoder::write_image(encoder, &[90; 77], 11, 7, image::ExtendedColorType::L8).unwrap();
        let image = decode(&bytes).unwrap().image;
        assert_eq!((image.width, image.height, image.pixel(10, 6)), (11, 7, [90; 3]));
    }
}
