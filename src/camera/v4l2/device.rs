//! A device node: what it is, what it offers, and how it is set.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::offers::Lists;
use super::sys::{
    self, Capability, Format, FormatDescription, Fraction, FrameInterval, FrameSize, Plain, StreamParameters,
};
use crate::camera::Codec;
use crate::text::is_harmless;

/// An open device node.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) capability: Capability,
}

impl Device {
    /// Opens `path` and asks what it is. Does not block, whatever the device does.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let mut capability = Capability::zeroed();
        sys::ioctl(&file, sys::QUERYCAP, &mut capability)?;
        Ok(Self { path: path.into(), file, capability })
    }

    /// What this node can do, of all that the device can (V4L2, "Querying Capabilities").
    pub(super) fn capabilities(&self) -> u32 {
        match self.capability.capabilities & sys::CAP_DEVICE_CAPS {
            0 => self.capability.capabilities,
            _ => self.capability.device_caps,
        }
    }

    /// Sets encoding and size; returns what the driver made of it.
    pub(super) fn set_format(&self, fourcc: [u8; 4], width: u32, height: u32) -> io::Result<sys::PixelLayout> {
        let mut format = Format::zeroed();
        format.kind = sys::BUF_TYPE_VIDEO_CAPTURE;
        (format.pix.fourcc, format.pix.width, format.pix.height) = (fourcc, width, height);
        format.pix.field = sys::FIELD_NONE;
        sys::ioctl(&self.file, sys::S_FMT, &mut format)?;
        Ok(format.pix)
    }

    /// Sets the time between frames, if the driver lets it be set; returns what it is, if the driver knows.
    pub(super) fn set_interval(&self, interval: Option<Fraction>) -> io::Result<Option<Fraction>> {
        let mut parameters = StreamParameters::zeroed();
        parameters.kind = sys::BUF_TYPE_VIDEO_CAPTURE;
        match sys::ioctl(&self.file, sys::G_PARM, &mut parameters) {
            Err(error) if is_end(&error) => return Ok(None),
            other => other?,
        }
        if let Some(interval) = interval.filter(|_| parameters.capability & sys::CAP_TIMEPERFRAME != 0) {
            parameters.timeperframe = interval;
            sys::ioctl(&self.file, sys::S_PARM, &mut parameters)?;
        }
        Ok(Some(parameters.timeperframe).filter(|i| i.numerator > 0 && i.denominator > 0))
    }
}

impl Lists for Device {
    fn format(&self, index: u32) -> io::Result<FormatDescription> {
        let mut entry = FormatDescription::zeroed();
        (entry.index, entry.kind) = (index, sys::BUF_TYPE_VIDEO_CAPTURE);
        sys::ioctl(&self.file, sys::ENUM_FMT, &mut entry).map(|()| entry)
    }

    fn size(&self, fourcc: [u8; 4], index: u32) -> io::Result<FrameSize> {
        let mut entry = FrameSize::zeroed();
        (entry.index, entry.fourcc) = (index, fourcc);
        sys::ioctl(&self.file, sys::ENUM_FRAMESIZES, &mut entry).map(|()| entry)
    }

    fn interval(&self, fourcc: [u8; 4], (width, height): (u32, u32), index: u32) -> io::Result<FrameInterval> {
        let mut entry = FrameInterval::zeroed();
        (entry.index, entry.fourcc, entry.width, entry.height) = (index, fourcc, width, height);
        sys::ioctl(&self.file, sys::ENUM_FRAMEINTERVALS, &mut entry).map(|()| entry)
    }
}

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

    #[test]
    fn what_is_no_video_device_is_an_error() {
        let error = Device::open(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
