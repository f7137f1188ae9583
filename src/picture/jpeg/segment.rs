//! Markers and their segments: whether they are what they say, or damage.

use super::{DHT, EOI, SOI, SOS};

/// Define quantization tables.
const DQT: u8 = 0xdb;
/// Define number of lines.
const DNL: u8 = 0xdc;
/// Define restart interval.
const DRI: u8 = 0xdd;
/// Comment.
const COM: u8 = 0xfe;

/// What stands behind a marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A segment of so many bytes, with those of its length.
    Valid(usize),
    /// No such segment.
    Invalid,
    /// More bytes are needed to tell.
    Unknown,
}

/// The first start of image with a marker behind it.
pub(super) fn find_start(bytes: &[u8]) -> Option<usize> {
    let is_start = |four: &[u8]| four[..3] == [0xff, SOI, 0xff] && (four[3] == 0xff || has_segment(four[3]));
    bytes.windows(4).position(is_start)
}

/// Whether pictures have a marker of this number, outside of data.
pub(super) fn is_plausible(marker: u8) -> bool {
    has_segment(marker) || matches!(marker, SOI | EOI)
}

fn has_segment(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc7 | 0xc9..=0xcf | 0xda..=0xef | COM)
}

/// Whether this is the marker of a segment that says how large the picture is.
pub(super) fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, DHT | 0xc8 | 0xcc)
}

/// Whether this marker may begin a segment between scans, or a scan.
pub(super) fn may_follow_a_scan(marker: u8) -> bool {
    matches!(marker, DHT | DQT | DNL | DRI | SOS | COM | 0xe0..=0xef)
}

/// Looks at the bytes behind `marker`; `ended` says that no more will come.
///
/// A damaged length must not hide the pictures that follow: so bodies have to be what the standard says, and a start of
/// image may stand only in the segments that are known to hold thumbnails.
pub(super) fn check(marker: u8, bytes: &[u8], ended: bool) -> Segment {
    let unknown = if ended { Segment::Invalid } else { Segment::Unknown };
    let &[high, low, ..] = bytes else { return unknown };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // With the bytes that a start of image may reach beyond the segment; a thumbnail's does not.
    let near = &bytes[..bytes.len().min(length + 3)];
    let own = if holds_thumbnails(marker, &bytes[2..]) { length.saturating_sub(3) } else { 0 };
    if length < 2 || near.get(own..).is_some_and(|near| find_start(near).is_some()) {
        return Segment::Invalid;
    }
    let Some(body) = bytes.get(2..length) else { return unknown };
    let known = match is_well_formed(marker, body) {
        Some(false) => return Segment::Invalid,
        known => known.is_some(),
    };
    match bytes.get(length) {
        _ if near.len() < length + 3 && !ended => Segment::Unknown,
        Some(0xff) | None => Segment::Valid(length),
        Some(_) if known => Segment::Valid(length),
        Some(_) => Segment::Invalid,
    }
}

/// Exif and its kin hold pictures of their own (EXIF 2.32, 4.5.4; JFIF 1.02, extension; CIPA DC-007).
fn holds_thumbnails(marker: u8, body: &[u8]) -> bool {
    let begins = |name: &[u8]| body.starts_with(name);
    match marker {
        0xe0 => begins(b"JFXX\0"),
        0xe1 => begins(b"Exif\0"),
        0xe2 => begins(b"MPF\0") || begins(b"FPXR\0"),
        0xed => begins(b"Photoshop "),
        _ => false,
    }
}

/// Whether a segment's body is one that its marker may have; `None` for those that may have any (T.81, B.2).
fn is_well_formed(marker: u8, body: &[u8]) -> Option<bool> {
    match marker {
        DHT => Some(are_tables(body, huffman_table)),
        DQT => Some(are_tables(body, quantization_table)),
        DRI | DNL => Some(body.len() == 2),
        SOS => Some(body.first().is_some_and(|&n| (1..=4).contains(&n) && body.len() == 4 + 2 * usize::from(n))),
        _ if is_frame(marker) => {
            Some(body.get(5).is_some_and(|&n| (1..=4).contains(&n) && body.len() == 6 + 3 * usize::from(n)))
        }
        _ => None,
    }
}

/// Whether `body` is one table after the other, of the lengths that `length` finds.
fn are_tables(mut body: &[u8], length: fn(&[u8]) -> Option<usize>) -> bool {
    while let Some(table) = length(body) {
        match body.get(table..) {
            Some([]) => return true,
            Some(rest) => body = rest,
            None => return false,
        }
    }
    false
}

fn huffman_table(body: &[u8]) -> Option<usize> {
    let (&kind, counts) = (body.first()?, body.get(1..17)?);
    let values: usize = counts.iter().map(|&count| usize::from(count)).sum();
    (kind & 0xec == 0 && values <= 256).then_some(17 + values)
}

fn quantization_table(body: &[u8]) -> Option<usize> {
    let kind = *body.first()?;
    (kind & 0xec == 0).then_some(1 + 64 * (1 + usize::from(kind >> 4)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// Marker and bytes behind it of every segment before the scan.
    fn segments(jpeg: &[u8]) -> Vec<(u8, &[u8])> {
        let (mut found, mut at) = (Vec::new(), 2);
        while at == 2 || found.last().is_some_and(|&(marker, _)| marker != SOS) {
            found.push((jpeg[at + 1], &jpeg[at + 2..]));
            at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        }
        found
    }

    #[test]
    fn an_encoders_segments_are_valid_whole_and_unknown_before() {
        let jpeg = sample(16, 16);
        let segments = segments(&jpeg);
        assert!(segments.len() >= 6);
        for (marker, bytes) in segments {
            let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
            assert_eq!(check(marker, bytes, false), Segment::Valid(length), "{marker:x}");
            for available in 0..length + 3 {
                assert_eq!(check(marker, &bytes[..available], false), Segment::Unknown, "{marker:x} {available}");
            }
            assert_eq!(check(marker, &bytes[..length - 1], true), Segment::Invalid, "{marker:x}");
        }
    }

    #[test]
    fn other_lengths_are_damage() {
        let jpeg = sample(16, 16);
        for (marker, bytes) in segments(&jpeg).into_iter().filter(|(marker, _)| *marker != 0xe0) {
            let length = u16::from_be_bytes([bytes[0], bytes[1]]);
            for wrong in (0..600).filter(|&wrong| wrong != length) {
                let damaged = [&wrong.to_be_bytes(), &bytes[2..], &[0; 600]].concat();
                let found = check(marker, &damaged, true);
                assert_eq!(found, Segment::Invalid, "{marker:x}: {wrong} instead of {length}");
            }
        }
    }

    #[test]
    fn a_picture_may_stand_in_exif_only() {
        let body = |name: &[u8]| {
            [&[0, 18], name, &[0xff, 0xd8, 0xff, 0xdb], &[7; 12][name.len()..], &[0xff, 0xdb, 0]].concat()
        };
        assert_eq!(check(0xe1, &body(b"Exif\0\0"), false), Segment::Valid(18));
        // Cut off: the next picture begins with the last two bytes that the length counts.
        let cut = [&[0, 12], b"Exif\0\0".as_slice(), &[7, 7], &[0xff, 0xd8, 0xff, 0xe1, 0, 9]].concat();
        assert_eq!(check(0xe1, &cut, false), Segment::Invalid);
        assert_eq!(check(0xe1, &body(b"http:"), false), Segment::Invalid);
        assert_eq!(check(0xe0, &body(b"Exif\0\0"), false), Segment::Invalid);
    }
}
