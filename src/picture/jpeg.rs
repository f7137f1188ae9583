//! The marker structure of a JPEG stream (ITU-T T.81, annex B): where a picture ends, and whether it brings its
//! Huffman tables.

use std::io::{self, BufRead};

/// Start of image.
const SOI: u8 = 0xd8;
/// End of image.
const EOI: u8 = 0xd9;
/// Start of scan: entropy-coded data follows the segment.
const SOS: u8 = 0xda;
/// Define Huffman tables.
const DHT: u8 = 0xc4;

/// More bytes than any camera's picture has: a length above it is garbage, not a picture.
const LARGEST: usize = 256 << 20;

/// The typical Huffman tables of T.81, annex K.3, as the body of a DHT segment: for each table its class and number, the
/// count of codes of each length from 1 to 16, and the values in the order of their codes.
const TYPICAL_TABLES: [&[u8]; 4] = [
    &[
        0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, // luminance DC, table K.3
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ],
    &[
        0x10, 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d, // luminance AC, table K.5
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
    &[
        0x01, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, // chrominance DC, table K.4
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ],
    &[
        0x11, 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77, // chrominance AC, table K.6
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
];

/// One picture as it stood in the stream, from SOI to EOI.
#[derive(Debug)]
pub(crate) struct Picture {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where the first scan's marker is, if there is a scan.
    first_scan: Option<usize>,
    /// Whether Huffman tables are defined before the first scan.
    has_tables: bool,
}

impl Picture {
    /// The picture's bytes, with the typical Huffman tables put in where it has none. Motion JPEG leaves them out
    /// by convention, to save bytes; decoders of still pictures need them.
    pub(crate) fn into_complete(self) -> Vec<u8> {
        match self.first_scan {
            Some(scan) if !self.has_tables => {
                let mut bytes = Vec::with_capacity(self.bytes.len() + 432);
                bytes.extend_from_slice(&self.bytes[..scan]);
                let length = 2 + TYPICAL_TABLES.iter().map(|table| table.len()).sum::<usize>();
                bytes.extend_from_slice(&[0xff, DHT, (length >> 8) as u8, length as u8]);
                TYPICAL_TABLES.iter().for_each(|table| bytes.extend_from_slice(table));
                bytes.extend_from_slice(&self.bytes[scan..]);
                bytes
            }
            _ => self.bytes,
        }
    }
}

/// Why no picture could be read.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// The stream ends inside the picture.
    Truncated,
    /// The bytes are no JPEG: what was found instead.
    NotJpeg(&'static str),
    /// The file cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// Reads the next picture of a stream of JPEG pictures; `None` at its end. Zero and 0xff bytes between pictures are
/// padding. Thumbnails inside a segment are skipped with it, as lengths are followed rather than EOI searched for.
pub(crate) fn read_picture(stream: &mut impl BufRead) -> Result<Option<Picture>, Flaw> {
    let mut last = 0;
    loop {
        let Some(&byte) = stream.fill_buf()?.first() else { return Ok(None) };
        stream.consume(1);
        match (last, byte) {
            (0xff, SOI) => break,
            (_, 0 | 0xff) => last = byte,
            _ => return Err(Flaw::NotJpeg("no start-of-image marker")),
        }
    }
    let mut picture = Picture { bytes: vec![0xff, SOI], first_scan: None, has_tables: false };
    let mut marker = next_marker(stream, &mut picture.bytes)?;
    loop {
        match marker {
            EOI => return Ok(Some(picture)),
            0 | SOI => return Err(Flaw::NotJpeg("a picture inside a picture")),
            DHT => picture.has_tables |= picture.first_scan.is_none(),
            SOS if picture.first_scan.is_none() => picture.first_scan = Some(picture.bytes.len() - 2),
            _ => {}
        }
        if !matches!(marker, 0x01 | 0xd0..=0xd7) {
            copy_segment(stream, &mut picture.bytes)?;
        }
        marker = match marker {
            SOS => copy_scan(stream, &mut picture.bytes)?,
            _ => next_marker(stream, &mut picture.bytes)?,
        };
        if picture.bytes.len() > LARGEST {
            return Err(Flaw::NotJpeg("a picture without end"));
        }
    }
}

/// Moves one byte from the stream to `bytes`.
fn take(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<u8, Flaw> {
    let byte = *stream.fill_buf()?.first().ok_or(Flaw::Truncated)?;
    stream.consume(1);
    bytes.push(byte);
    Ok(byte)
}

/// Moves the marker that must stand here; returns its second byte. Any number of 0xff may stand before it.
fn next_marker(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<u8, Flaw> {
    if take(stream, bytes)? != 0xff {
        return Err(Flaw::NotJpeg("bytes between segments"));
    }
    loop {
        match take(stream, bytes)? {
            0xff => drop(bytes.pop()),
            marker => return Ok(marker),
        }
    }
}

/// Moves a segment's length and what it counts.
fn copy_segment(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<(), Flaw> {
    let length = usize::from(take(stream, bytes)?) << 8 | usize::from(take(stream, bytes)?);
    let rest = length.checked_sub(2).ok_or(Flaw::NotJpeg("a segment of impossible length"))?;
    let start = bytes.len();
    bytes.resize(start + rest, 0);
    Ok(stream.read_exact(&mut bytes[start..])?)
}

/// Moves entropy-coded data and the marker that ends it; returns the marker's second byte. Within the data, 0xff is
/// followed by 0 (the data byte 0xff) or by a restart marker.
fn copy_scan(stream: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<u8, Flaw> {
    while bytes.len() <= LARGEST {
        let buffer = stream.fill_buf()?;
        let Some(data) = buffer.iter().position(|&b| b == 0xff) else {
            let all = buffer.len();
            if all == 0 {
                return Err(Flaw::Truncated);
            }
            bytes.extend_from_slice(buffer);
            stream.consume(all);
            continue;
        };
        bytes.extend_from_slice(&buffer[..data]);
        stream.consume(data);
        match next_marker(stream, bytes)? {
            0 | 0xd0..=0xd7 => {}
            marker => return Ok(marker),
        }
    }
    Err(Flaw::NotJpeg("a picture without end"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::BufReader;

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

    #[test]
    fn pictures_are_split_where_they_end_whatever_the_buffer_size() {
        let (a, b) = (sample(40, 30), sample(16, 16));
        let mut stream = a.clone();
        stream.extend_from_slice(&[0, 0, 0xff]);
        stream.extend_from_slice(&b);
        stream.push(0);
        for size in [1, 2, 3, 7, 64, 1 << 16] {
            let mut reader = BufReader::with_capacity(size, &stream[..]);
            assert_eq!(read_picture(&mut reader).unwrap().unwrap().bytes, a, "buffer of {size}");
            assert_eq!(read_picture(&mut reader).unwrap().unwrap().bytes, b, "buffer of {size}");
            assert!(read_picture(&mut reader).unwrap().is_none());
        }
    }

    #[test]
    fn an_end_marker_inside_a_segment_ends_nothing() {
        let jpeg = sample(16, 16);
        let mut with_thumbnail = jpeg[..2].to_vec();
        with_thumbnail.extend_from_slice(&[0xff, 0xe1, 0, 8, 0xff, 0xd8, 1, 2, 0xff, 0xd9]);
        with_thumbnail.extend_from_slice(&jpeg[2..]);
        assert_eq!(read_picture(&mut &with_thumbnail[..]).unwrap().unwrap().bytes, with_thumbnail);
    }

    #[test]
    fn every_truncation_is_noticed() {
        let jpeg = sample(24, 24);
        for length in 3..jpeg.len() {
            assert!(matches!(read_picture(&mut &jpeg[..length]), Err(Flaw::Truncated)), "{length} bytes");
        }
    }

    #[test]
    fn typical_tables_are_those_an_encoder_writes() {
        let jpeg = sample(24, 24);
        let stripped = without_tables(&jpeg);
        assert!(stripped.len() + 400 < jpeg.len());
        let complete = read_picture(&mut &stripped[..]).unwrap().unwrap().into_complete();
        let decode = |bytes: &[u8]| image::load_from_memory(bytes).map(|i| i.into_rgb8().into_raw());
        assert_eq!(decode(&complete).unwrap(), decode(&jpeg).unwrap());
        assert!(decode(&stripped).is_err(), "the decoder needs the tables");
        assert_eq!(read_picture(&mut &jpeg[..]).unwrap().unwrap().into_complete(), jpeg, "nothing is added twice");
    }
}
