//! The cameras of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::answers;
use super::choice;
use super::controls;
use super::device::Device;
use super::info::DeviceInfo;
use super::offers::Offers;
use super::sys;
use crate::error::{Error, ErrorKind, Result, reason};

/// See [`super::list_devices`].
pub(super) fn list_devices() -> Result<Vec<DeviceInfo>> {
    let dev = Path::new("/dev");
    let nodes = video_nodes(dev).map_err(|e| Error::io(ErrorKind::Camera, "look for cameras in", dev, e))?;
    Ok(nodes.iter().filter_map(|path| describe(path)).collect())
}

/// `dev/video0`, `dev/video1` …, in the order of the numbers.
fn video_nodes(dev: &Path) -> io::Result<Vec<PathBuf>> {
    let mut nodes: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dev)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("video")).and_then(|n| n.parse().ok());
        nodes.extend(number.map(|number| (number, entry.path())));
    }
    nodes.sort();
    Ok(nodes.into_iter().map(|(_, path)| path).collect())
}

/// What `path` is; `None` for what is no camera, such as the metadata node beside each USB camera.
fn describe(path: &Path) -> Option<DeviceInfo> {
    let unknown = |problem: Option<String>| DeviceInfo {
        path: path.display().to_string(),
        name: String::new(),
        driver: String::new(),
        bus: String::new(),
        links: links(path),
        formats: Vec::new(),
        usual: None,
        controls: Vec::new(),
        problem,
    };
    let device = match Device::open(path) {
        Ok(device) => device,
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => return None,
        Err(error) => return Some(unknown(Some(problem(&error)))),
    };
    device.buffer_type()?;
    let (formats, problem) = if device.capabilities() & sys::CAP_STREAMING == 0 {
        (Vec::new(), Some("cannot stream into memory".into()))
    } else {
        match Offers::of(&device).describe() {
            Ok(formats) => (formats, None),
            Err(error) => (Vec::new(), Some(format!("cannot list its formats: {}", reason(&error)))),
        }
    };
    Some(DeviceInfo {
        name: answers::text(&device.capability.card),
        driver: answers::text(&device.capability.driver),
        bus: answers::text(&device.capability.bus_info),
        formats,
        usual: choice::usual(&device),
        controls: controls::describe(&device.file).unwrap_or_default(),
        ..unknown(problem)
    })
}

/// Why a node cannot be opened.
fn problem(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => "permission denied: join the group video".into(),
        Some(libc::EBUSY) => "in use by another program".into(),
        _ => reason(error),
    }
}

/// The links in `/dev/v4l` that lead to `path`.
fn links(path: &Path) -> Vec<String> {
    let mut links: Vec<String> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|link| fs::canonicalize(link).is_ok_and(|target| target == path))
        .map(|link| link.display().to_string())
        .collect();
    links.sort();
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_ordered_by_number_and_others_left_out() {
        let dev = tempfile::tempdir().unwrap();
        for name in ["video10", "video9", "video0", "video", "videoX", "vbi0", "video-1"] {
            fs::write(dev.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = video_nodes(dev.path()).unwrap();
        assert_eq!(names, ["video0", "video9", "video10"].map(|name| dev.path().join(name)));
    }

    #[test]
    fn what_is_no_video_device_is_not_described_and_what_cannot_be_opened_is() {
        assert_eq!(describe(Path::new("/dev/null")), None);
        let missing = describe(Path::new("/dev/no-such-node")).unwrap();
        assert_eq!(missing.problem.as_deref(), Some("no such file or directory"));
    }
}
