//! Where results go: lines, records, pictures or a web page, all opened from a URI.
//!
//! | URI | sink |
//! |---|---|
//! | `-`, `terminal://` | one line a frame on standard output; `terminal://?changes` where the best label changes |
//! | `json://-`, `json://PATH` | one JSON record a line (schema in `record.rs`) |
//! | `file://DIR/NAME_%04d.png` (`.jpg`) | numbered annotated pictures; without `%d` always the newest one |
//! | `http://127.0.0.1:8080`, `https://` | a web page with the annotated pictures as they come |
//! | `fb:///dev/fb0`, `drm://card0` | a screen, without a desktop (Linux); `?rotate=90` turns pictures |
//! | `spi://0.0?display=st7789&dc=25` | a small display without a kernel driver (Linux, feature `spi`) |
//! | `null://` | nowhere |
//!
//! With `?overlay=off` behind it, an output has its pictures as the camera delivered them.
//!
//! What is done for events is in [`actions`].

pub mod actions;
mod clean;
pub(crate) mod encode;
#[cfg(feature = "http")]
pub(crate) mod http;
mod images;
mod json;
mod lines;
mod null;
mod patient;
mod record;
#[cfg(all(target_os = "linux", feature = "screens"))]
mod screen;
mod terminal;

use std::path::{Path, PathBuf};

use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::FrameReport;
use clean::Clean;
pub use images::Images;
use patient::Patient;

/// The outputs there are, for messages.
const SUPPORTED: &str = "supported today: - (terminal lines), terminal://?changes, json://- or json://PATH, file://DIR/NAME_%04d.png or .jpg, http:// or https://127.0.0.1:PORT, fb:///dev/fb0, drm://card0, spi://0.0?display=st7789&dc=25 (feature spi), null://";

/// Whether results are still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// Go on.
    Continue,
    /// The reader is gone (a closed pipe): there is nothing left to do, which is no error.
    Stop,
}

/// Takes the result of each frame, in order.
pub trait Sink: Send {
    /// Whether the next [`deliver`](Self::deliver) needs the annotated picture; false where nobody would see it,
    /// so that no overlay is drawn for nothing. May change from frame to frame.
    fn wants_picture(&self) -> bool;

    /// Whether that picture is to be annotated; else it is as the camera delivered it. Always the same.
    fn wants_overlay(&self) -> bool {
        true
    }

    /// Width and height at which it shows pictures of this size, if that is another one: they are scaled before they are annotated, so that
    /// text is legible on small screens.
    fn shown_size(&self, picture: (u32, u32)) -> Option<(u32, u32)> {
        let _ = picture;
        None
    }

    /// Takes one frame's result. `picture` is the frame; a sink that wants one and gets `None` goes without.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the result could not be delivered. What was delivered before stays.
    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery>;

    /// A frame was taken and not looked at, since the run is paused: there is no result. `skipped` frames were so far.
    fn skip(&mut self, skipped: u64) {
        let _ = skipped;
    }

    /// Ends the output: after this all that was delivered is where it should be, and threads have ended. Dropping
    /// a sink does the same, without a word about failures.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when the last results could not be delivered.
    fn finish(&mut self) -> Result<()>;

    /// One line for people, for example `http://127.0.0.1:8080/ (this computer only)`.
    fn describe(&self) -> String;

    /// What went wrong without ending this output, if there is something that was not told yet.
    fn trouble(&mut self) -> Option<Error> {
        None
    }

    /// Results, or events, that should have been delivered so far and were not.
    fn lost(&self) -> u64 {
        0
    }

    /// The one file that it writes to: the source should not be reading it.
    fn file(&self) -> Option<&Path> {
        None
    }
}

/// What to ask of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// Quality of JPEG pictures, 1 (small) to 100 (fine).
    pub jpeg_quality: u8,
    /// Whether to go on when files cannot be written, and try again later: for sources without end. What was lost is an error at the end.
    pub patient: bool,
    /// Names and addresses that a web page may be called by beside this computer's own.
    pub allow_hosts: Vec<String>,
    /// File of the token that clients of a web page from the network need.
    pub token_file: Option<PathBuf>,
    /// PEM files of the certificate and the key of a web page at `https://`; without them it makes its own, beside the token.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The run whose results these are, for outputs that show whether it is paused, or that can be told to pause it.
    pub control: Control,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            jpeg_quality: 85,
            patient: false,
            allow_hosts: Vec::new(),
            token_file: None,
            certificate: None,
            control: Control::default(),
        }
    }
}

/// The token that clients of a web page from the network need: that in `file`, or in the folder for states
/// (`$STATE_DIRECTORY`, `$XDG_STATE_HOME/densight`, `~/.local/state/densight`). It is made where there is none yet.
///
/// # Errors
/// [`ErrorKind::Usage`] for a file that holds no token, or where there is no folder for one; [`ErrorKind::Io`] for one
/// that cannot be read, [`ErrorKind::Output`] for one that cannot be written.
#[cfg(feature = "http")]
pub fn token(file: Option<&Path>) -> Result<String> {
    Ok(http::token::Token::open(file)?.text().to_owned())
}

/// The SHA-256 of the certificate with which a web page is served at `https://`, as browsers show it.
///
/// # Errors
/// [`ErrorKind::Usage`] where there is none yet, and without the feature `tls`; what is wrong with its file.
#[cfg(feature = "http")]
pub fn fingerprint(options: &SinkOptions) -> Result<String> {
    http::tls::fingerprint(options)
}

/// Opens the sink that `uri` names.
///
/// # Errors
/// [`ErrorKind::Usage`] for a URI or an option that means nothing, with what is supported.
/// [`ErrorKind::Output`] for a file or folder that cannot be written, or a port that cannot be had.
pub fn open(uri: &str, options: &SinkOptions) -> Result<Box<dyn Sink>> {
    let usage = |message: String| Error::new(ErrorKind::Usage, message);
    if !(1..=100).contains(&options.jpeg_quality) {
        return Err(usage(format!("a JPEG quality of {} is not between 1 and 100", options.jpeg_quality)));
    }
    if uri == "-" {
        return Ok(Box::new(terminal::Terminal::stdout(false)));
    }
    let Some((scheme, rest)) = uri.split_once("://") else {
        return Err(usage(format!("'{uri}' is no output; {SUPPORTED}")));
    };
    match overlay(rest)? {
        None => open_as(scheme, rest, options),
        Some(_) if !["file", "http", "https", "fb", "drm", "spi"].contains(&scheme) => {
            Err(usage(format!("'{uri}': there are no pictures to draw on, leave ?overlay= out")))
        }
        Some((rest, true)) => open_as(scheme, rest, options),
        Some((rest, false)) => Ok(Box::new(Clean::new(open_as(scheme, rest, options)?))),
    }
}

/// Checks that no two of `uris` write to standard output, where their lines would be among each other.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub fn check_together(uris: &[String]) -> Result<()> {
    let is_stdout = |uri: &&String| ["-", "json://-"].contains(&uri.as_str()) || uri.starts_with("terminal://");
    let mut lines = uris.iter().filter(is_stdout);
    match (lines.next(), lines.next()) {
        (Some(one), Some(other)) => {
            let message = format!(
                "'{one}' and '{other}' both write to standard output: write one of them to a file, json://PATH"
            );
            Err(Error::new(ErrorKind::Usage, message))
        }
        _ => Ok(()),
    }
}

/// What stands in front of `?overlay=on` or `off`, and which it is; `None` without.
fn overlay(uri: &str) -> Result<Option<(&str, bool)>> {
    let Some((before, value)) = uri.rsplit_once("overlay=") else { return Ok(None) };
    let Some(rest) = before.strip_suffix(['?', '&']) else { return Ok(None) };
    match value {
        "on" => Ok(Some((rest, true))),
        "off" => Ok(Some((rest, false))),
        _ => {
            Err(Error::new(ErrorKind::Usage, format!("overlay={value} means nothing: write overlay=on or overlay=off")))
        }
    }
}

fn open_as(scheme: &str, rest: &str, options: &SinkOptions) -> Result<Box<dyn Sink>> {
    let usage = |message: String| Error::new(ErrorKind::Usage, message);
    let uri = format!("{scheme}://{rest}");
    match scheme {
        "terminal" if ["", "?changes"].contains(&rest) => Ok(Box::new(terminal::Terminal::stdout(!rest.is_empty()))),
        "terminal" => Err(usage(format!("'{uri}' is no output: write terminal://, terminal://?changes or -"))),
        "json" if options.patient && rest != "-" => Ok(Box::new(Patient::new(json::Json::open(rest)?))),
        "json" => Ok(Box::new(json::Json::open(rest)?)),
        "file" if options.patient => Ok(Box::new(Patient::new(images::Images::open(rest, options)?))),
        "file" => Ok(Box::new(images::Images::open(rest, options)?)),
        #[cfg(feature = "http")]
        "http" => Ok(Box::new(http::Http::open(rest, options)?)),
        #[cfg(feature = "http")]
        "https" => Ok(Box::new(http::Http::open_secure(rest, options)?)),
        #[cfg(all(target_os = "linux", feature = "screens"))]
        "fb" => Ok(Box::new(screen::Screen::framebuffer(rest)?)),
        #[cfg(all(target_os = "linux", feature = "screens"))]
        "drm" => Ok(Box::new(screen::Screen::drm(rest)?)),
        #[cfg(all(target_os = "linux", feature = "spi"))]
        "spi" => Ok(Box::new(screen::Screen::spi(rest)?)),
        #[cfg(all(target_os = "linux", not(feature = "spi")))]
        "spi" => Err(usage("this program was built without spi:// (feature spi)".into())),
        #[cfg(not(feature = "http"))]
        "http" | "https" => Err(usage(format!("this program was built without {scheme}:// (feature http)"))),
        #[cfg(all(target_os = "linux", not(feature = "screens")))]
        "fb" | "drm" => Err(usage(format!("this program was built without {scheme}:// (feature screens)"))),
        "mqtt" | "mqtts" => {
            Err(usage("a broker is told of states, not of each frame: name it in the settings file, [mqtt]".into()))
        }
        "null" if rest.is_empty() => Ok(Box::new(null::Null::default())),
        "null" => Err(usage(format!("'{uri}' is no output: write null://"))),
        _ => Err(usage(format!("{scheme}:// is not supported; {SUPPORTED}"))),
    }
}

#[cfg(test)]
mod tests;
