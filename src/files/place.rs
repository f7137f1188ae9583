//! Where a path leads, and which links are followed on the way.

use std::io;
use std::path::{Path, PathBuf};

/// Where `path` leads: the same without links, absolute. Its last part need not be there.
///
/// In a folder that others may write to (`/tmp`), a link may have been put there by anybody, under a name that is known to be written to.
/// There a link is followed only if it belongs to whoever runs this program or to the folder's owner, which is the rule of Linux
/// (`fs.protected_symlinks`) also where that is switched off, and for folders that a group may write to.
///
/// # Errors
/// The system's; [`io::ErrorKind::PermissionDenied`] for a link that is not followed.
#[cfg(target_os = "linux")]
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt;
    use std::path::Component;

    /// As many as the system follows.
    const MOST_LINKS: usize = 40;

    let us = Path::new("/proc/self").metadata().map(|about| about.uid()).ok();
    let parts =
        |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<OsString>>();
    let mut left = parts(&std::path::absolute(path)?);
    let (mut place, mut links) = (PathBuf::new(), 0);
    while let Some(part) = left.pop() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                place.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            _ => {}
        }
        let next = place.join(&part);
        let about = match next.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && left.is_empty() => return Ok(next),
            about => about?,
        };
        if !about.is_symlink() {
            place = next;
            continue;
        }
        if is_of_open_files(&place) {
            return Ok(left.iter().rev().fold(next, |path, part| path.join(part)));
        }
        let folder = place.metadata()?;
        let is_shared = folder.mode() & 0o022 != 0;
        if is_shared && Some(about.uid()) != us && about.uid() != folder.uid() {
            let message = format!(
                "{} is a link that somebody else put into a folder that others may write to: remove it, or choose another folder",
                next.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::other("too many levels of links"));
        }
        left.extend(parts(&next.read_link()?));
    }
    Ok(place)
}

/// Whether a folder is `/proc/NUMBER/fd`, to which `/dev/stdout` leads. What looks like links there leads to open files, with or
/// without a name, and not to what it says.
#[cfg(target_os = "linux")]
pub(super) fn is_of_open_files(folder: &Path) -> bool {
    folder.starts_with("/proc") && folder.ends_with("fd")
}

/// Where `path` leads: the same without links, or itself where it is not there yet.
///
/// # Errors
/// None on this system.
#[cfg(not(target_os = "linux"))]
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    Ok(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}
