//! What drivers answer, in Densight's terms.

use std::io;

use super::sys::Fraction;
use crate::frame::PixelFormat;
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

/// The format of a four-character code, if Densight reads it. `NM12`, `NM21` and `YM12` have a buffer for each plane.
pub(super) fn format(fourcc: [u8; 4]) -> Option<PixelFormat> {
    match &fourcc {
        b"YUYV" => Some(PixelFormat::Yuyv),
        b"UYVY" => Some(PixelFormat::Uyvy),
        b"YVYU" => Some(PixelFormat::Yvyu),
        b"NV12" | b"NM12" => Some(PixelFormat::Nv12),
        b"NV21" | b"NM21" => Some(PixelFormat::Nv21),
        b"YU12" | b"YM12" => Some(PixelFormat::I420),
        b"RGB3" => Some(PixelFormat::Rgb8),
        b"BGR3" => Some(PixelFormat::Bgr8),
        b"RGBP" => Some(PixelFormat::Rgb565),
        b"GREY" => Some(PixelFormat::Gray8),
        b"Y10 " => Some(PixelFormat::Gray10),
        b"Y12 " => Some(PixelFormat::Gray12),
        b"MJPG" | b"JPEG" => Some(PixelFormat::Jpeg),
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
    fn every_format_has_a_code() {
        let codes = ["YUYV", "UYVY", "YVYU", "NV12", "NV21", "YU12", "RGB3", "BGR3", "RGBP", "GREY", "Y10 ", "Y12 "];
        let formats: Vec<_> = codes.iter().filter_map(|code| format(code.as_bytes().try_into().unwrap())).collect();
        let raw = PixelFormat::ALL.into_iter().filter(|format| *format != PixelFormat::Jpeg);
        assert!(raw.clone().all(|raw| formats.contains(&raw)) && raw.count() == formats.len());
        assert_eq!((format(*b"MJPG"), format(*b"H264"), format(*b"Y16 ")), (Some(PixelFormat::Jpeg), None, None));
    }

    #[test]
    fn texts_end_at_zero_and_have_no_control_characters() {
        assert_eq!(text(b"UVC Camera\0\x01rest"), "UVC Camera");
        assert_eq!(text(b"a\nb\x1b[2J "), "ab[2J");
        assert_eq!((fourcc_name(*b"Y16 "), fourcc_name(*b"Y16\xa0")), ("Y16".into(), "Y16-BE".into()));
    }
}
