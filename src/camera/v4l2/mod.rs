//! Linux cameras, through Video4Linux2 (`/dev/video*`).
//!
//! `sys` holds the kernel's structures and system calls, and all the `unsafe` there is; `device` asks and sets,
//! `offers` lists, `controls` too, `modes` and `choice` choose, `stream` moves buffers, `source` makes frames of them, `list` shows what is there. On other
//! systems only [`DeviceInfo`] exists and opening a camera is an error.

use std::path::Path;

use super::{Source, SourceOptions};
use crate::error::Result;

#[cfg(target_os = "linux")]
mod answers;
#[cfg(target_os = "linux")]
mod choice;
#[cfg(target_os = "linux")]
mod controls;
#[cfg(target_os = "linux")]
mod device;
mod info;
#[cfg(target_os = "linux")]
mod list;
#[cfg(target_os = "linux")]
mod modes;
#[cfg(target_os = "linux")]
mod offers;
#[cfg(target_os = "linux")]
mod source;
#[cfg(target_os = "linux")]
mod stream;
#[cfg(target_os = "linux")]
mod sys;

pub use info::{ControlInfo, DeviceInfo, FormatInfo, SizeInfo, SizeRange};

/// The capture devices of this machine, in the order of their numbers. Nodes that cannot be opened are listed with
/// the reason; metadata and output nodes are not.
///
/// # Errors
/// [`ErrorKind::Camera`](crate::error::ErrorKind::Camera) where there is no Video4Linux (not Linux), or `/dev` cannot
/// be read.
#[cfg(target_os = "linux")]
pub fn list_devices() -> Result<Vec<DeviceInfo>> {
    list::list_devices()
}

#[cfg(target_os = "linux")]
pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>> {
    source::open(path, options)
}

/// Always an error: there is no Video4Linux here.
///
/// # Errors
/// [`ErrorKind::Camera`](crate::error::ErrorKind::Camera).
#[cfg(not(target_os = "linux"))]
pub fn list_devices() -> Result<Vec<DeviceInfo>> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open(_: &Path, _: &SourceOptions) -> Result<Box<dyn Source>> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
fn unsupported() -> crate::error::Error {
    let message = "cameras can be used on Linux only; use file://, clip:// or test://pattern here";
    crate::error::Error::new(crate::error::ErrorKind::Camera, message)
}
