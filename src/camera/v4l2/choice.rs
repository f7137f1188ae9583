//! What of a device's offers is taken.

use std::io;

use super::answers;
use super::modes::{self, Mode};
use super::offers::{Lists, Offers, Sizes};
use crate::camera::{LEAST_SIZE, SourceOptions};

/// The modes in encodings that Densight reads. A range of sizes counts as the one nearest to what is wanted.
pub(super) fn offered(device: &impl Lists, options: &SourceOptions) -> io::Result<Vec<Mode>> {
    let usual = options.least.unwrap_or(modes::USUAL_SIZE);
    let wanted = (options.width.unwrap_or(usual.0), options.height.unwrap_or(usual.1));
    let (offers, mut modes) = (Offers::of(device), Vec::new());
    for format in offers.formats()? {
        let (fourcc, Some(known)) = (format.fourcc, answers::format(format.fourcc)) else { continue };
        let sizes = match offers.sizes(fourcc)? {
            Sizes::Range(range) => vec![range.nearest(wanted.0, wanted.1)],
            Sizes::List(sizes) if sizes.is_empty() => vec![wanted],
            Sizes::List(sizes) => sizes,
        };
        for (width, height) in sizes {
            let intervals = offers.intervals(fourcc, (width, height), options.rate)?;
            modes.push(Mode { format: known, fourcc, width, height, intervals });
        }
    }
    Ok(modes)
}

/// The encoded video that a device delivers, its name for people and ffmpeg's, if it has no pictures that Densight reads by itself.
pub(super) fn encoded(device: &impl Lists) -> Option<[&'static str; 2]> {
    let formats = Offers::of(device).formats().ok()?;
    let known = |fourcc: &[u8; 4]| match fourcc {
        b"H264" | b"AVC1" => Some(["H.264", "h264"]),
        b"HEVC" => Some(["H.265", "hevc"]),
        b"VP80" => Some(["VP8", "vp8"]),
        b"MPG4" => Some(["MPEG-4", "mpeg4"]),
        _ => None,
    };
    let is_read = formats.iter().any(|format| answers::format(format.fourcc).is_some());
    formats.iter().find_map(|format| known(&format.fourcc)).filter(|_| !is_read)
}

/// What is taken by a small network where nothing is asked for, in words: `YUYV 320x240 30 fps`.
pub(super) fn usual(device: &impl Lists) -> Option<String> {
    let options = SourceOptions { least: Some(LEAST_SIZE), ..SourceOptions::default() };
    let modes = offered(device, &options).ok()?;
    if let Some([name, _]) = encoded(device) {
        return Some(format!("{name}, decoded by ffmpeg"));
    }
    let (mode, interval) = modes::choose(&modes, &options)?;
    let rate = interval.map_or(String::new(), |i| format!(" {} fps", (i.rate() * 100.0).round() / 100.0));
    Some(format!("{} {}x{}{rate}", mode.format.name(), mode.width, mode.height))
}

#[cfg(test)]
mod tests {
    use super::super::sys::{self, FormatDescription, FrameInterval, FrameSize, Plain};
    use super::*;

    /// A driver with these encodings.
    struct Driver(&'static [&'static [u8; 4]]);

    impl Lists for Driver {
        fn format(&self, index: u32) -> io::Result<FormatDescription> {
            let fourcc = self.0.get(index as usize).ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
            Ok(FormatDescription { fourcc: **fourcc, ..FormatDescription::zeroed() })
        }

        fn size(&self, _: [u8; 4], index: u32) -> io::Result<FrameSize> {
            let entry = FrameSize { kind: sys::TYPE_DISCRETE, size: [640, 480, 0, 0, 0, 0], ..FrameSize::zeroed() };
            if index == 0 { Ok(entry) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
        }

        fn interval(&self, _: [u8; 4], _: (u32, u32), _: u32) -> io::Result<FrameInterval> {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }

    #[test]
    fn videos_are_taken_where_there_are_no_pictures() {
        assert_eq!(encoded(&Driver(&[b"H264"])), Some(["H.264", "h264"]));
        assert_eq!(encoded(&Driver(&[b"XYZ ", b"HEVC"])), Some(["H.265", "hevc"]));
        assert_eq!(encoded(&Driver(&[b"H264", b"MJPG"])), None);
        assert_eq!(encoded(&Driver(&[b"XYZ "])), None);
        assert_eq!(usual(&Driver(&[b"H264"])).as_deref(), Some("H.264, decoded by ffmpeg"));
    }
}
