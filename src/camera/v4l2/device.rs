//! A device node: what it is, what it offers, and how it is set.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::answers::is_end;
use super::offers::Lists;
use super::sys::{
    self, Capability, Format, FormatDescription, FormatOfPlanes, Fraction, FrameInterval, FrameSize, Plain,
    StreamParameters,
};

/// An open device node.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) capability: Capability,
}

/// Encoding and geometry of the frames that a driver delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) fourcc: [u8; 4],
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from one row to the next, of each plane that has a buffer of its own; 0 where the driver does not say.
    pub(super) strides: [u32; 3],
    /// How many have.
    pub(super) planes: usize,
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

    /// The type of the buffers that it captures into; `None` if it captures no pictures.
    pub(super) fn buffer_type(&self) -> Option<u32> {
        match self.capabilities() {
            can if can & sys::CAP_VIDEO_CAPTURE != 0 => Some(sys::BUF_TYPE_VIDEO_CAPTURE),
            can if can & sys::CAP_VIDEO_CAPTURE_MPLANE != 0 => Some(sys::BUF_TYPE_VIDEO_CAPTURE_MPLANE),
            _ => None,
        }
    }

    /// The same where a type is needed, whatever the device is.
    fn kind(&self) -> u32 {
        self.buffer_type().unwrap_or(sys::BUF_TYPE_VIDEO_CAPTURE)
    }

    /// Sets encoding and size; returns what the driver made of it.
    pub(super) fn set_format(&self, fourcc: [u8; 4], width: u32, height: u32) -> io::Result<Layout> {
        if self.kind() == sys::BUF_TYPE_VIDEO_CAPTURE_MPLANE {
            let mut format = FormatOfPlanes::zeroed();
            (format.kind, format.field) = (self.kind(), sys::FIELD_NONE);
            (format.fourcc, format.width, format.height) = (fourcc, width, height);
            sys::ioctl(&self.file, sys::S_FMT_OF_PLANES, &mut format)?;
            let strides = [0, 1, 2].map(|plane| format.planes[plane].bytesperline);
            let (FormatOfPlanes { fourcc, width, height, .. }, planes) = (format, format.num_planes.into());
            return Ok(Layout { fourcc, width, height, strides, planes });
        }
        let mut format = Format::zeroed();
        format.kind = self.kind();
        (format.pix.fourcc, format.pix.width, format.pix.height) = (fourcc, width, height);
        format.pix.field = sys::FIELD_NONE;
        sys::ioctl(&self.file, sys::S_FMT, &mut format)?;
        let sys::PixelLayout { fourcc, width, height, bytesperline, .. } = format.pix;
        Ok(Layout { fourcc, width, height, strides: [bytesperline, 0, 0], planes: 1 })
    }

    /// Sets the time between frames, if the driver lets it be set; returns what it is, if the driver knows.
    pub(super) fn set_interval(&self, interval: Option<Fraction>) -> io::Result<Option<Fraction>> {
        let mut parameters = StreamParameters::zeroed();
        parameters.kind = self.kind();
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
        (entry.index, entry.kind) = (index, self.kind());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_video_device_is_an_error() {
        let error = Device::open(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
