//! Files that appear under their name only when they are complete, and files that are read within limits.
//!
//! A file is written without a name, or under another one in the same folder, and then takes its name, which POSIX does in one step.
//! Whoever reads never sees half a file, and a full disk leaves none behind, but what was there before. A program that is killed
//! meanwhile leaves nothing either: on Linux a file without a name vanishes with it, and elsewhere the next one that writes to the folder
//! removes what it left.

mod part;
mod place;
mod read;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result, reason};

use part::Part;
pub use place::resolve;
pub use read::{read, read_text};

/// The folder a path's file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Writes the file `path`, replacing what was there, at once or not at all, and waits until it is on the disk: when this returns, neither
/// a crash nor a loss of power takes it back. The mode of what is replaced is kept, its owner is not. What is no ordinary file (a
/// device, a pipe) is written to as it is. A link stays one: what it leads to is replaced; see [`resolve`] for links that are not followed.
///
/// # Errors
/// [`ErrorKind::Output`] naming the file, with what to do about it.
pub fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    put(path, true, write)
}

/// As [`write()`], without waiting for the disk: for what is written many times a second, where a loss of power may well cost the newest
/// ones. Waiting would take the camera loop longer than its network.
///
/// # Errors
/// As [`write()`].
pub fn write_unsynced(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    put(path, false, write)
}

fn put(path: &Path, synced: bool, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let written = resolve(path).and_then(|target| {
        let there = target.symlink_metadata().ok();
        if there.as_ref().is_some_and(is_special) {
            return open(OpenOptions::new().write(true), &target).and_then(|mut file| write(&mut file));
        }
        let mut part = Part::create(folder(&target))?;
        if let Some(there) = there {
            part.take_mode_of(&there)?;
        }
        write(part.file())?;
        if synced {
            synchronize(part.file())?;
        }
        part.persist(&target)?;
        if synced && let Ok(folder) = File::open(folder(&target)) {
            synchronize(&folder)?;
        }
        Ok(())
    });
    written.map_err(|error| failed(path, error))
}

/// Opens what [`resolve`] found, which is no link; should it have become one since, that is an error.
///
/// # Errors
/// The system's.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if !place::is_of_open_files(folder(path)) {
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW);
    }
    options.open(path)
}

/// Whether what is there is neither an ordinary file nor a folder.
fn is_special(found: &std::fs::Metadata) -> bool {
    !found.is_file() && !found.is_dir()
}

/// Waits until the disk has it. Some file systems have nothing to wait for and say so.
fn synchronize(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Checks that the file `path` could be written now, before something long is done for it.
///
/// # Errors
/// As [`write()`].
pub fn check(path: &Path) -> Result<()> {
    let created = resolve(path).and_then(|target| match target.metadata() {
        Ok(found) if is_special(&found) => Ok(()),
        _ => check_folder(folder(&target)),
    });
    created.map_err(|error| failed(path, error))
}

/// Checks that files can be created in `folder`: creating one is the only sure way to find out.
///
/// # Errors
/// The system's.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    Part::create(folder).map(drop)
}

/// Bytes that are free where `folder` is, for whoever runs this program.
///
/// # Errors
/// The system's; [`io::ErrorKind::Unsupported`] where it does not tell.
pub fn free(folder: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let about = rustix::fs::statvfs(folder)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    // A folder like /proc is there, and yet no file can be.
    let advice = match error.kind() {
        io::ErrorKind::NotFound if folder(path).is_dir() => ": files cannot be created there, choose another folder",
        _ => advice(&error),
    };
    let message = format!("cannot write {}: {}{advice}", path.display(), reason(&error));
    Error::new(ErrorKind::Output, message).caused_by(error)
}

/// What to do about a failed write, where that can be said.
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free some space or write elsewhere",
        io::ErrorKind::NotFound => ": create its folder first",
        _ => "",
    }
}
