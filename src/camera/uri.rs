//! What an input URI means.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The inputs there are, for messages.
const SUPPORTED: &str = "supported today: v4l2:///dev/video0 (or /dev/video0, or 0), file://PATH (picture, folder, wildcard, .mjpeg, pipe), - (Motion JPEG on standard input), http://HOST/PATH (Motion JPEG), csi://0, rtsp://HOST/PATH (by ffmpeg), exec:COMMAND, test://pattern, clip://";

/// A parsed input URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// `test://pattern`.
    TestPattern,
    /// `clip://`.
    Clip,
    /// A picture, a folder, a wildcard or an MJPEG file. Taken literally: `%20` is not a blank.
    Files(PathBuf),
    /// A camera's device node.
    V4l2(PathBuf),
    /// Motion JPEG on standard input.
    Stdin,
    /// Motion JPEG over HTTP; what follows `http://`.
    Http(String),
    /// What a command writes; what follows `exec:`.
    Exec(String),
    /// A camera of the board, by its number.
    Csi(u32),
    /// A stream that ffmpeg opens; the whole URL.
    Ffmpeg(String),
}

/// Parses `uri`. Of plain words, a number, `/dev/video*` and `/dev/v4l/*` are cameras; what exists or contains a
/// wildcard is a file.
pub(super) fn parse(uri: &str) -> Result<Location> {
    let usage = |message: String| Err(Error::new(ErrorKind::Usage, message));
    if let Some(command) = uri.strip_prefix("exec:") {
        return Ok(Location::Exec(command.into()));
    }
    if let Some((scheme, rest)) = uri.split_once("://") {
        return match scheme {
            "test" if rest == "pattern" => Ok(Location::TestPattern),
            "test" => usage(format!("unknown test source '{uri}': there is test://pattern")),
            "clip" if rest.is_empty() => Ok(Location::Clip),
            "clip" => usage(format!("unknown clip '{uri}': there is one, clip://")),
            "file" if rest.is_empty() => usage("file:// names no file: write file://PATH".into()),
            "file" => Ok(Location::Files(rest.into())),
            "http" => Ok(Location::Http(rest.into())),
            "v4l2" => match camera(rest) {
                Some(path) => Ok(Location::V4l2(path)),
                None => usage(format!("'{uri}' names no camera: write v4l2:///dev/video0 or v4l2://0")),
            },
            "csi" => match rest.trim_end_matches('/').parse() {
                Ok(number) => Ok(Location::Csi(number)),
                Err(_) => usage(format!("'{uri}' names no camera: write csi://0")),
            },
            "rtsp" | "rtsps" | "rtmp" | "https" | "srt" | "udp" => Ok(Location::Ffmpeg(uri.into())),
            _ => usage(format!("{scheme}:// is not supported; {SUPPORTED}")),
        };
    }
    if uri == "-" {
        return Ok(Location::Stdin);
    }
    let is_camera = |path: &PathBuf| path.starts_with("/dev/v4l") || path.to_string_lossy().starts_with("/dev/video");
    if let Some(path) = camera(uri).filter(is_camera) {
        return Ok(Location::V4l2(path));
    }
    if !uri.is_empty() && (Path::new(uri).exists() || is_wildcard(uri)) {
        return Ok(Location::Files(uri.into()));
    }
    usage(format!("'{uri}' is no file, folder or camera; {SUPPORTED}"))
}

/// Whether `path` contains a wildcard (`*`, `?`, `[`).
pub(super) fn is_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The device node that a number or an absolute path names.
fn camera(name: &str) -> Option<PathBuf> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("/dev/video{name}").into());
    }
    (name.starts_with('/') && name.len() > 1).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let v4l2 = |path: &str| Location::V4l2(path.into());
        let files = |path: &str| Location::Files(path.into());
        for (uri, expected) in [
            ("test://pattern", Location::TestPattern),
            ("clip://", Location::Clip),
            ("file:///a b/c%20.jpg", files("/a b/c%20.jpg")),
            ("file://frames/*.jpg", files("frames/*.jpg")),
            ("frames/*.jpg", files("frames/*.jpg")),
            ("/", files("/")),
            (".", files(".")),
            ("v4l2:///dev/video3", v4l2("/dev/video3")),
            ("v4l2://2", v4l2("/dev/video2")),
            ("/dev/video0", v4l2("/dev/video0")),
            ("/dev/v4l/by-id/usb-x", v4l2("/dev/v4l/by-id/usb-x")),
            ("0", v4l2("/dev/video0")),
            ("-", Location::Stdin),
            ("exec:a b://c", Location::Exec("a b://c".into())),
            ("csi://1", Location::Csi(1)),
            ("rtsp://u:p@cam/x", Location::Ffmpeg("rtsp://u:p@cam/x".into())),
            ("http://u:p@cam:81/stream", Location::Http("u:p@cam:81/stream".into())),
            ("/dev", files("/dev")),
        ] {
            assert_eq!(parse(uri).unwrap(), expected, "{uri}");
        }
    }

    #[test]
    fn errors_name_what_is_supported() {
        for uri in ["gopher://x", "no-such-file.jpg", ""] {
            let error = parse(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{uri}");
            assert!(error.to_string().contains("v4l2:///dev/video0") && error.to_string().contains("test://pattern"));
        }
        for uri in ["test://snow", "clip://cat", "file://", "v4l2://", "v4l2://video0", "csi://left"] {
            assert_eq!(parse(uri).unwrap_err().kind(), ErrorKind::Usage, "{uri}");
        }
        assert!(parse("test://snow").unwrap_err().to_string().contains("test://pattern"));
    }
}
