//! What drivers answer, in Densight's terms.

use std::io;

use super::sys::Fraction;
use crate::camera::Codec;
use crate::text::is_harmless;

/// Whether an error says "no more entries" or "no such list" rather than that something failed.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY | libc::ENODATA))
}

impl Fraction {
    /// Frames a second.
    pub(super) fn rate(self) -> f64 {
        f64::from(self.denominator) / f64::from(self.numerator)
    }
}

/// The codec of a four-character code, if Densight reads it.
pub(super) fn codec(fourcc: [u8; 4]) -> Option<Codec> {
    match &fourcc {
        b"YUYV" => Some(Codec::Yuyv),
        b"NV12" => Some(Codec::Nv12),
        b"GREY" => Some(Codec::Grey),
        b"MJPG" | b"JPEG" => Some(Codec::Mjpeg),
        _ => None,
    }
}

/// A four-character code for people; its highest bit says big-endian.
pub(super) fn fourcc_name(mut fourcc: [u8; 4]) -> String {
    let big_endian = fourcc[3] & 0x80 != 0;
    fourcc[3] &= 0x7f;
    text(&fourcc) + if big_endian { "-BE" } else { "" }
}

/// A text of the kernel's, which ends at the first zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().chars().filter(|&c| is_harmless(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_at_zero_and_have_no_control_characters() {
        assert_eq!(text(b"UVC Camera\0\x01rest"), "UVC Camera");
        assert_eq!(text(b"a\nb\x1b[2J "), "ab[2J");
        assert_eq!((fourcc_name(*b"Y16 "), fourcc_name(*b"Y16\xa0")), ("Y16".into(), "Y16-BE".into()));
    }
}
