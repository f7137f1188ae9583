//! A camera as a source of frames, and what its failures mean to people.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::answers;
use super::choice;
use super::controls;
use super::device::{Device, Layout};
use super::list_devices;
use super::modes;
use super::offers::Offers;
use super::stream::{Filled, Stream};
use super::sys::{self, Fraction};
use crate::camera::{LONGEST_WAIT, Source, SourceOptions, exec, raw};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::frame::{Frame, PixelFormat};
use crate::picture;

/// A camera that is running.
#[derive(Debug)]
pub(super) struct Camera {
    path: PathBuf,
    stream: Stream,
    format: PixelFormat,
    layout: Layout,
    interval: Option<Fraction>,
    timeout: Duration,
    count: Count,
    /// Damaged frames since the last whole one.
    damaged: u64,
    /// When that was.
    last_whole: Instant,
}

/// Opens the device; where it delivers an encoded video only, by ffmpeg.
pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let device = Device::open(path).map_err(|e| explain("open", path, e))?;
    if let (Some(encoding), None) = (choice::encoded(&device), options.codec) {
        controls::set(&device.file, &options.controls)
            .map_err(|why| Error::new(ErrorKind::Camera, format!("{} {why}", path.display())))?;
        // ffmpeg opens it anew.
        drop(device);
        return exec::encoded_camera(path, encoding, options);
    }
    Ok(Box::new(Camera::of(device, options)?))
}

impl Camera {
    /// Chooses and sets a mode (see `modes`), and starts the device.
    fn of(device: Device, options: &SourceOptions) -> Result<Self> {
        let path = &device.path.clone();
        let refuse = |why: String| Err(Error::new(ErrorKind::Camera, format!("{} {why}", path.display())));
        let Some(kind) = device.buffer_type() else {
            return refuse("captures no pictures: it is another node of its device (metadata, output, codec)".into());
        };
        if device.capabilities() & sys::CAP_STREAMING == 0 {
            return refuse("cannot stream into memory".into());
        }
        let modes = choice::offered(&device, options).map_err(|e| explain("list the formats of", path, e))?;
        let Some((mode, interval)) = modes::choose(&modes, options) else {
            return refuse(no_mode(&device, options));
        };
        let layout = device
            .set_format(mode.fourcc, mode.width, mode.height)
            .map_err(|e| explain("set the format of", path, e))?;
        if layout.fourcc != mode.fourcc {
            let (asked, got) = (answers::fourcc_name(mode.fourcc), answers::fourcc_name(layout.fourcc));
            return refuse(format!("was asked for {asked} and gives {got}"));
        }
        let format = mode.format;
        let (layout, plane_sizes) = match planes(format, layout) {
            Ok(planes) => planes,
            Err(why) => return refuse(why),
        };
        let interval = device.set_interval(interval).map_err(|e| explain("set the rate of", path, e))?;
        if let Err(why) = controls::set(&device.file, &options.controls) {
            return refuse(why);
        }
        let stream = Stream::start(device.file, kind, plane_sizes).map_err(|e| explain("start", path, e))?;
        let (timeout, count, last_whole) = (options.timeout, Count::default(), Instant::now());
        Ok(Self { path: device.path, stream, format, layout, interval, timeout, count, damaged: 0, last_whole })
    }

    fn failed(&self, delivered: &str) -> Error {
        let (name, seconds) = (self.path.display(), self.timeout.as_secs_f32());
        let advice = "check its cable, power and privacy switch, or plug it in again";
        Error::new(ErrorKind::Camera, format!("{name} delivered {delivered} for {seconds} s: {advice}"))
    }

    fn frame(&self, filled: Filled, sequence: u64) -> Frame {
        let age = filled.age.unwrap_or_default();
        // Instant is CLOCK_MONOTONIC on Linux, the clock of the driver's time stamps.
        let (now, clock) = (Instant::now(), SystemTime::now());
        Frame {
            data: filled.data,
            format: self.format,
            width: self.layout.width,
            height: self.layout.height,
            stride: self.layout.strides[0],
            sequence,
            captured: now.checked_sub(age).unwrap_or(now),
            timestamp: clock.checked_sub(age).unwrap_or(clock),
            origin: None,
            damage: None,
        }
    }
}

impl Source for Camera {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let timeout = self.timeout.min(LONGEST_WAIT);
        let next = self.stream.next(Instant::now() + timeout);
        let Some(filled) = next.map_err(|e| explain("read from", &self.path, e))? else {
            return Err(self.failed("nothing"));
        };
        let sequence = self.count.next(filled.sequence);
        match flaw(&filled, self.format, self.layout) {
            None => {
                (self.damaged, self.last_whole) = (0, Instant::now());
                Ok(Some(self.frame(filled, sequence)))
            }
            Some(_) if self.last_whole.elapsed() >= timeout => {
                let damaged = self.damaged + 1;
                (self.damaged, self.last_whole) = (0, Instant::now());
                Err(self.failed(&format!("only damaged frames ({damaged})")))
            }
            Some(what) => {
                self.damaged += 1;
                Err(Error::new(ErrorKind::Image, format!("{} frame {sequence}: {what}", self.path.display())))
            }
        }
    }

    fn describe(&self) -> String {
        let (width, height, format) = (self.layout.width, self.layout.height, self.format.name());
        let rate = self.interval.map(|i| format!(" {} fps", (i.rate() * 100.0).round() / 100.0)).unwrap_or_default();
        format!("v4l2://{} {width}x{height} {format}{rate}", self.path.display())
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// The layout with the distance of rows where the driver leaves it out, and how many bytes of each plane but the last are
/// the picture's; or why the planes are none that can be read.
fn planes(format: PixelFormat, mut layout: Layout) -> Result<(Layout, Vec<usize>), String> {
    let Layout { width, height, planes, .. } = layout;
    let [first, others @ ..] = &mut layout.strides;
    if *first == 0 {
        *first = u32::try_from(raw::row(format, width)).unwrap_or(u32::MAX);
    }
    let (half, rows) = (first.div_ceil(2), height.div_ceil(2) as usize);
    let luma = *first as usize * height as usize;
    let (chroma, sizes) = match (format, planes) {
        (_, 1) => return Ok((layout, Vec::new())),
        (PixelFormat::Nv12 | PixelFormat::Nv21, 2) => (*first, vec![luma]),
        (PixelFormat::I420, 3) => (half, vec![luma, half as usize * rows]),
        _ => return Err(format!("delivers {} in {planes} planes, which is not supported", format.name())),
    };
    match others[..planes - 1].iter().all(|&stride| stride == 0 || stride == chroma) {
        true => Ok((layout, sizes)),
        false => Err(format!("has rows of {} that do not fit together, which is not supported", format.name())),
    }
}

/// Why nothing of a frame can be shown, if so.
fn flaw(filled: &Filled, format: PixelFormat, layout: Layout) -> Option<String> {
    let length = filled.data.len() as u64;
    match raw::needed(format, layout.strides[0], layout.height) {
        _ if filled.damaged => Some("the driver calls it damaged".into()),
        None => (!picture::holds_jpeg(&filled.data)).then(|| "it holds no JPEG picture".into()),
        Some(needed) => (length < needed).then(|| format!("it has {length} bytes of {needed}")),
    }
}

/// Why there is no mode to choose: what is offered of what Densight reads, or else the first of what is offered.
fn no_mode(device: &Device, options: &SourceOptions) -> String {
    let mut offers = Offers::of(device).formats().unwrap_or_default();
    if offers.iter().any(|format| answers::format(format.fourcc).is_some()) {
        offers.retain(|format| answers::format(format.fourcc).is_some());
    }
    let names: Vec<String> = offers.iter().take(8).map(|format| answers::fourcc_name(format.fourcc)).collect();
    let wanted = options.codec.map_or("MJPEG, YUV, RGB or gray", PixelFormat::name);
    match names.is_empty() {
        true => "offers no picture format".into(),
        false => format!("does not offer {wanted}; it offers {}", names.join(", ")),
    }
}

/// The driver's count of frames as one that starts at 0 and does not wrap. A driver that does not count (every
/// frame 0), or starts over, counts on by one.
#[derive(Debug, Default)]
struct Count {
    last: Option<(u32, u64)>,
}

impl Count {
    fn next(&mut self, sequence: u32) -> u64 {
        let position = match self.last {
            None => 0,
            Some((last, position)) => match sequence.wrapping_sub(last) {
                step @ 1..=0x7fff_ffff => position + u64::from(step),
                _ => position + 1,
            },
        };
        self.last = Some((sequence, position));
        position
    }
}

/// What an error of the driver's means, and what to do about it; `doing` is a verb.
fn explain(doing: &str, path: &Path, error: io::Error) -> Error {
    let name = path.display();
    let message = match error.raw_os_error() {
        Some(libc::ENOENT) => format!("there is no camera {name}; {}", cameras()),
        Some(libc::EACCES | libc::EPERM) => format!(
            "may not use {name}: permission denied; join the group video (sudo usermod -aG video $USER) and log in again"
        ),
        Some(libc::EBUSY) => format!("{name} is in use by another program: close it and try again"),
        Some(libc::ENODEV | libc::ENXIO) => format!("{name} was unplugged, or its driver removed: plug it in again"),
        Some(libc::ENOTTY | libc::EISDIR | libc::ENOTDIR) => format!("{name} is not a camera; {}", cameras()),
        Some(libc::ENOSPC) => {
            format!("{name} finds no room on its USB bus: use a smaller size, MJPEG, or another USB port")
        }
        Some(libc::EIO) => format!("{name} failed (input/output error): unplug it and plug it in again"),
        _ => format!("cannot {doing} {name}: {}", reason(&error)),
    };
    Error::new(ErrorKind::Camera, message).caused_by(error)
}

/// The cameras there are, for messages.
fn cameras() -> String {
    let devices = list_devices().unwrap_or_default();
    let names: Vec<String> = devices.iter().map(|d| format!("{} ({})", d.path, d.name)).collect();
    match names.is_empty() {
        true => "no camera is connected".into(),
        false => format!("cameras here: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_starts_at_zero_keeps_gaps_and_never_goes_back() {
        let count = |sequences: &[u32]| {
            let mut count = Count::default();
            sequences.iter().map(|&s| count.next(s)).collect::<Vec<_>>()
        };
        assert_eq!(count(&[0, 1, 2, 5]), [0, 1, 2, 5]);
        assert_eq!(count(&[7, 8, 10]), [0, 1, 3]);
        assert_eq!(count(&[u32::MAX - 1, u32::MAX, 0, 1]), [0, 1, 2, 3]);
        assert_eq!(count(&[0, 0, 0]), [0, 1, 2]);
        assert_eq!(count(&[100, 101, 0, 1]), [0, 1, 2, 3]);
    }

    fn layout(strides: [u32; 3], planes: usize) -> Layout {
        Layout { fourcc: *b"----", width: 4, height: 3, strides, planes }
    }

    #[test]
    fn frames_of_which_nothing_can_be_shown_are_noticed() {
        let flaw_of = |format, data: &[u8], damaged| {
            flaw(&Filled { data: data.into(), sequence: 0, damaged, age: None }, format, layout([8, 0, 0], 1))
        };
        assert_eq!(flaw_of(PixelFormat::Yuyv, &[0; 24], false), None);
        assert_eq!(flaw_of(PixelFormat::Yuyv, &[0; 23], false).unwrap(), "it has 23 bytes of 24");
        assert!(flaw_of(PixelFormat::Nv12, &[0; 39], false).is_some());
        assert!(flaw_of(PixelFormat::Nv12, &[0; 40], false).is_none());
        assert!(flaw_of(PixelFormat::Yuyv, &[0; 24], true).is_some());
        let jpeg = crate::picture::jpeg::tests::sample(16, 16);
        let padded = [&[7; 9], &jpeg[..jpeg.len() - 9], &[0; 90]].concat();
        assert_eq!(flaw_of(PixelFormat::Jpeg, &padded, false), None);
        assert!(flaw_of(PixelFormat::Jpeg, &jpeg[..200], false).is_some());
    }

    #[test]
    fn planes_in_buffers_of_their_own_have_to_fit_together() {
        assert_eq!(planes(PixelFormat::Nv12, layout([0; 3], 1)).unwrap(), (layout([4, 0, 0], 1), vec![]));
        assert_eq!(planes(PixelFormat::Yuyv, layout([0; 3], 1)).unwrap().0.strides[0], 8);
        assert_eq!(planes(PixelFormat::Nv12, layout([16, 16, 0], 2)).unwrap().1, [48]);
        assert_eq!(planes(PixelFormat::I420, layout([16, 8, 8], 3)).unwrap().1, [48, 16]);
        for (format, strides, count) in [
            (PixelFormat::Nv12, [16, 8, 0], 2),
            (PixelFormat::I420, [16, 16, 16], 3),
            (PixelFormat::Nv12, [16, 16, 16], 3),
            (PixelFormat::Yuyv, [16, 16, 0], 2),
            (PixelFormat::Gray8, [4, 0, 0], 0),
        ] {
            assert!(planes(format, layout(strides, count)).is_err(), "{format:?} {strides:?}");
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let says =
            |code: i32| explain("start", Path::new("/dev/video0"), io::Error::from_raw_os_error(code)).to_string();
        assert!(says(libc::EBUSY).contains("in use by another program"));
        assert!(says(libc::EACCES).contains("group video"));
        assert!(says(libc::ENODEV).contains("unplugged"));
        assert!(says(libc::ENOENT).starts_with("there is no camera /dev/video0; "));
        assert!(says(libc::EPIPE) == "cannot start /dev/video0: broken pipe");
    }

    #[test]
    fn what_is_no_camera_is_refused() {
        let open = |path: &str| super::open(Path::new(path), &SourceOptions::default()).err().unwrap();
        assert!(open("/dev/null").to_string().starts_with("/dev/null is not a camera"));
        assert!(open("/dev").to_string().starts_with("/dev is not a camera"));
        assert!(open("/dev/video4095").to_string().starts_with("there is no camera /dev/video4095"));
        assert_eq!(open("/dev/null").kind(), ErrorKind::Camera);
    }
}
