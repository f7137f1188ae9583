//! A device node: what it is, what it offers, and how it is set.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::info::{FormatInfo, SizeInfo, SizeRange};
use super::modes::USUAL_SIZE;
use super::sys::{
    self, Capability, Format, FormatDescription, Fraction, FrameInterval, FrameSize, Plain, StreamParameters,
};
use crate::camera::Codec;
use crate::text::is_harmless;

/// More entries than any driver's list has: one that never ends is broken.
const LONGEST_LIST: u32 = 1024;

/// The sizes that an encoding comes in.
#[derive(Debug)]
pub(super) enum Sizes {
    /// These, width and height.
    List(Vec<(u32, u32)>),
    /// Any in this range.
    Range(SizeRange),
}

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

    /// Encodings on offer, as the driver orders them.
    pub(super) fn formats(&self) -> io::Result<Vec<FormatDescription>> {
        self.enumerate(|index| {
            let mut entry = FormatDescription::zeroed();
            (entry.index, entry.kind) = (index, sys::BUF_TYPE_VIDEO_CAPTURE);
            sys::ioctl(&self.file, sys::ENUM_FMT, &mut entry).map(|()| entry)
        })
    }

    /// Sizes on offer in an encoding; an empty list when the driver does not say.
    pub(super) fn sizes(&self, fourcc: [u8; 4]) -> io::Result<Sizes> {
        let mut range = None;
        let sizes = self.enumerate(|index| {
            if range.is_some() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL)); // A range has one entry.
            }
            let mut entry = FrameSize::zeroed();
            (entry.index, entry.fourcc) = (index, fourcc);
            sys::ioctl(&self.file, sys::ENUM_FRAMESIZES, &mut entry)?;
            if entry.kind != sys::TYPE_DISCRETE {
                let [min_width, max_width, step_width, min_height, max_height, step_height] = entry.size;
                range = Some(SizeRange { min_width, max_width, step_width, min_height, max_height, step_height });
            }
            Ok((entry.size[0], entry.size[1]))
        })?;
        Ok(range.map_or(Sizes::List(sizes), Sizes::Range))
    }

    /// Seconds between frames on offer, shortest first. Of a range: its ends, and `wanted` if it lies between.
    pub(super) fn intervals(
        &self,
        fourcc: [u8; 4],
        (width, height): (u32, u32),
        wanted: Option<u32>,
    ) -> io::Result<Vec<Fraction>> {
        let mut ends = None;
        let mut intervals = self.enumerate(|index| {
            let mut entry = FrameInterval::zeroed();
            (entry.index, entry.fourcc, entry.width, entry.height) = (index, fourcc, width, height);
            if ends.is_some() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            sys::ioctl(&self.file, sys::ENUM_FRAMEINTERVALS, &mut entry)?;
            if entry.kind != sys::TYPE_DISCRETE {
                ends = Some((entry.interval[0], entry.interval[1]));
            }
            Ok(entry.interval[0])
        })?;
        if let Some((shortest, longest)) = ends {
            intervals = vec![shortest, longest];
            let wanted = wanted.map(|rate| Fraction { numerator: 1, denominator: rate });
            intervals.extend(wanted.filter(|w| w.rate() < shortest.rate() && w.rate() > longest.rate()));
        }
        intervals.retain(|interval| interval.numerator > 0 && interval.denominator > 0);
        intervals.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
        Ok(intervals)
    }

    /// Everything on offer, for people.
    pub(super) fn describe_formats(&self) -> io::Result<Vec<FormatInfo>> {
        let describe = |format: FormatDescription| {
            let (sizes, range) = match self.sizes(format.fourcc)? {
                Sizes::List(sizes) => (sizes, None),
                Sizes::Range(range) => (vec![range.nearest(USUAL_SIZE.0, USUAL_SIZE.1)], Some(range)),
            };
            let sizes = sizes.into_iter().map(|(width, height)| {
                let intervals = self.intervals(format.fourcc, (width, height), None)?;
                Ok(SizeInfo { width, height, rates: intervals.iter().map(|i| i.rate()).collect() })
            });
            Ok(FormatInfo {
                fourcc: fourcc_name(format.fourcc),
                description: text(&format.description),
                supported: codec(format.fourcc).is_some(),
                sizes: sizes.collect::<io::Result<_>>()?,
                range,
            })
        };
        self.formats()?.into_iter().map(describe).collect()
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

    /// Entries 0, 1, 2 … up to the one that the driver refuses. A driver without the list has an empty one.
    fn enumerate<T>(&self, mut entry: impl FnMut(u32) -> io::Result<T>) -> io::Result<Vec<T>> {
        let mut entries = Vec::new();
        for index in 0..LONGEST_LIST {
            match entry(index) {
                Ok(entry) => entries.push(entry),
                Err(error) if is_end(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }
}

/// Whether an error says "no more entries" or "no such list" rather than that something failed.
fn is_end(error: &io::Error) -> bool {
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
