//! Which screen a URI means, and how it is mounted.

use std::path::PathBuf;

use super::fit::Rotation;
use crate::error::{Error, ErrorKind, Result};

/// The device and the rotation that `scheme://rest` means; `scheme` is `fb` or `drm`. Without a name that is the first framebuffer, or
/// the folder of all cards.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub(super) fn parse(scheme: &str, rest: &str) -> Result<(PathBuf, Rotation)> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let usage = |what: &str| {
        let example = if scheme == "fb" { "fb:///dev/fb0" } else { "drm://card0" };
        let message = format!("'{scheme}://{rest}' {what}: write {example} or {example}?rotate=90");
        Error::new(ErrorKind::Usage, message)
    };
    let rotation = match options.split_once('=') {
        None if options.is_empty() => Rotation::None,
        Some(("rotate", degrees)) => Rotation::from_degrees(degrees)
            .ok_or_else(|| usage("turns pictures by something else than 0, 90, 180 or 270"))?,
        _ => return Err(usage("has an option that is not known")),
    };
    let (folder, name) = if scheme == "fb" { ("/dev", "fb") } else { ("/dev/dri", "card") };
    let number = place.strip_prefix(name).unwrap_or(place);
    let path = match place {
        "" if scheme == "drm" => folder.into(),
        "" => format!("{folder}/{name}0"),
        _ if place.starts_with('/') => place.to_owned(),
        _ if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{folder}/{name}{number}")
        }
        _ => return Err(usage("names no screen")),
    };
    Ok((path.into(), rotation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        for (scheme, rest, path, rotation) in [
            ("fb", "", "/dev/fb0", Rotation::None),
            ("fb", "1", "/dev/fb1", Rotation::None),
            ("fb", "fb2?rotate=90", "/dev/fb2", Rotation::Quarter),
            ("fb", "/dev/fb0?rotate=0", "/dev/fb0", Rotation::None),
            ("drm", "?rotate=180", "/dev/dri", Rotation::Half),
            ("drm", "card1", "/dev/dri/card1", Rotation::None),
            ("drm", "/dev/dri/by-path/x?rotate=270", "/dev/dri/by-path/x", Rotation::ThreeQuarters),
        ] {
            assert_eq!(parse(scheme, rest).unwrap(), (path.into(), rotation), "{scheme}://{rest}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (scheme, rest) in
            [("fb", "card0"), ("drm", "fb0"), ("fb", "fb"), ("fb", "0?rotate=45"), ("fb", "0?turn=90"), ("drm", "x?")]
        {
            let error = parse(scheme, rest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{scheme}://{rest}");
            assert!(error.to_string().contains("?rotate=90"), "{error}");
        }
    }
}
