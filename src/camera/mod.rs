//! Where frames come from: cameras, files, the bundled clip and the test pattern, all opened from a URI.
//!
//! | URI | source |
//! |---|---|
//! | `v4l2:///dev/video0`, `/dev/video0`, `0` | a Linux camera |
//! | `file://PATH`, or a plain path | one picture, a folder, a wildcard, an MJPEG file or a pipe |
//! | `-` | Motion JPEG that another program writes, live: `rpicam-vid --codec mjpeg -o - \| densight-camera -` |
//! | `http://HOST:PORT/PATH` | Motion JPEG of a network camera, or of another `densight-camera` |
//! | `csi://0` | a camera of a Raspberry Pi or Jetson, by `rpicam-vid`, `libcamera-vid` or GStreamer |
//! | `rtsp://HOST/PATH`, video files | what `ffmpeg` opens |
//! | `exec:COMMAND` | what a command writes: Motion JPEG, or with `format=` and `size=` in front raw pictures |
//! | `test://pattern` | moving colour bars, computed |
//! | `clip://` | the clip inside the program |
//!
//! A source delivers [`Frame`]s still encoded; [`decode()`] turns one into RGB, so that a frame that
//! is dropped costs no decoding.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, PixelFormat};

mod bundled;
#[cfg(unix)]
mod child;
mod chunks;
mod decode;
#[cfg(unix)]
mod exec;
#[cfg(test)]
pub mod fake;
mod files;
#[cfg(unix)]
mod http;
mod live;
pub(crate) mod mjpeg;
mod pace;
mod raw;
mod reconnect;
mod stream;
mod test_pattern;
mod turning;
mod uri;
pub mod v4l2;
#[cfg(unix)]
mod video;
mod wait;

#[cfg(unix)]
pub use child::end_programs;
pub use decode::decode;
pub use turning::{Flip, Rotation, Turning};

use uri::Location;

/// Width and height that a camera's pictures have at least, where it can, whatever the network needs: so that people make something out.
pub(crate) const LEAST_SIZE: (u32, u32) = (320, 240);

/// A longer wait than this is as good as none that ends, and clocks can be added up to it.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A stream of frames.
pub trait Source: Send {
    /// The next frame; `Ok(None)` when the stream has ended, and again on every later call.
    ///
    /// Blocks for [`SourceOptions::timeout`] at most; for a minute while a lost camera is waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Camera`] when the camera delivered nothing in time, was unplugged or failed.
    /// [`ErrorKind::Image`] or [`ErrorKind::Io`] when one picture cannot be read, or bytes are passed over that are none:
    /// the error names the place, and the next call goes on behind it. [`ErrorKind::Ended`] when a live source ended that
    /// cannot be opened again.
    fn next_frame(&mut self) -> Result<Option<Frame>>;

    /// One line for people, for example `v4l2:///dev/video0 640x480 MJPEG 30 fps`.
    fn describe(&self) -> String;

    /// Whether frames appear at their own pace, so that old ones should be dropped for the newest.
    /// False for files: each of their frames is to be processed.
    fn is_live(&self) -> bool;

    /// Whether it reads the file at `path`, which nothing should then write to.
    fn reads(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// Whether a camera that failed is worth asking again, however often it has: it is opened again when it is back.
    fn recovers(&self) -> bool {
        false
    }
}

/// What to ask of a source. Sizes, rate and codec are wishes that a camera meets as nearly as it can
/// ([`Source::describe`] says what it gave); clip and files have sizes of their own and refuse them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// Width in pixels (camera, test pattern).
    pub width: Option<u32>,
    /// Height in pixels (camera, test pattern).
    pub height: Option<u32>,
    /// Width and height that pictures are to have at least, where neither is asked for: the smallest such size is taken
    /// (camera).
    pub least: Option<(u32, u32)>,
    /// Frames a second (camera, test pattern; files are then played at that rate, as if they were cameras).
    pub rate: Option<u32>,
    /// How the camera is to encode its frames (camera).
    pub codec: Option<PixelFormat>,
    /// What else to set, by name (camera): `exposure_time_absolute`. In this order.
    pub controls: Vec<(String, i32)>,
    /// Begin again at the end (files, clip).
    pub repeat: bool,
    /// Clip and test pattern: frames appear 30 times a second (or `rate` times), as from a live camera.
    /// Without it they come as fast as they are asked for, none is to be dropped, and
    /// [`Source::is_live`] is false.
    pub paced: bool,
    /// Longest wait for one frame of a camera or pipe.
    pub timeout: Duration,
    /// Wait for a camera that was lost, or a named pipe's next writer, and open it again.
    pub reconnect: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            least: None,
            rate: None,
            codec: None,
            controls: Vec::new(),
            repeat: false,
            paced: true,
            timeout: Duration::from_secs(5),
            reconnect: true,
        }
    }
}

/// Opens the source that `uri` names.
///
/// # Errors
/// [`ErrorKind::Usage`] for a URI or an option that means nothing, with what is supported.
/// [`ErrorKind::Camera`] for a camera that is missing, busy or unusable.
/// [`ErrorKind::Io`] or [`ErrorKind::Image`] for files that cannot be read.
pub fn open(uri: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    for (name, value) in [("width", options.width), ("height", options.height), ("rate", options.rate)] {
        if value == Some(0) {
            return Err(Error::new(ErrorKind::Usage, format!("a {name} of 0 cannot be asked of a source")));
        }
    }
    match uri::parse(uri)? {
        Location::TestPattern => Ok(Box::new(test_pattern::TestPattern::new(options)?)),
        Location::Clip => Ok(Box::new(bundled::Clip::new(options)?)),
        Location::Files(path) => files::open(&path, options),
        Location::Stdin => live::stdin(options),
        #[cfg(unix)]
        Location::Http(rest) => http::open(&rest, options),
        #[cfg(unix)]
        Location::Exec(command) => exec::exec(&command, options),
        #[cfg(unix)]
        Location::Csi(number) => exec::csi(number, options),
        #[cfg(unix)]
        Location::Ffmpeg(url) => exec::ffmpeg(&url, options),
        #[cfg(not(unix))]
        _ => Err(Error::new(ErrorKind::Usage, format!("{uri} is supported on Unix only"))),
        Location::V4l2(path) if options.reconnect => {
            let options = options.clone();
            Ok(Box::new(reconnect::Reconnecting::new(true, Box::new(move || v4l2::open(&path, &options)))?))
        }
        Location::V4l2(path) => v4l2::open(&path, options),
    }
}

/// Refuses the wishes that only a camera (or, for size and rate, the test pattern) can meet.
fn refuse_camera_wishes(options: &SourceOptions, source: &str) -> Result<()> {
    let sizes = options.width.or(options.height).or(options.rate);
    if sizes.is_some() || options.codec.is_some() || !options.controls.is_empty() {
        let message = format!(
            "{source} has its own size and rate: ask for a width, height, rate, codec or control of cameras only"
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_that_mean_nothing_are_usage_errors() {
        let kind = |uri: &str, options: SourceOptions| open(uri, &options).err().map(|e| e.kind());
        let default = SourceOptions::default;
        assert_eq!(kind("test://pattern", SourceOptions { rate: Some(0), ..default() }), Some(ErrorKind::Usage));
        assert_eq!(kind("clip://", SourceOptions { width: Some(64), ..default() }), Some(ErrorKind::Usage));
        assert_eq!(kind("clip://", default()), None);
        assert_eq!(kind("gopher://host/stream", default()), Some(ErrorKind::Usage));
    }
}
