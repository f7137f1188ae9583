//! Files that appear under their name only when they are complete.
//!
//! A file is written under another name in the same folder and then renamed, which POSIX does in one step. Whoever reads
//! never sees half a file, and a full disk leaves none behind, but what was there before.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, ErrorKind, Result, reason};

/// The folder a path's file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A file in `folder` without a final name yet, which vanishes unless it gets one.
///
/// # Errors
/// The system's, when no file can be created there.
pub fn create(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".densight-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any program's files: what the user's umask allows, not private as temporary files are.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes the file `path`, replacing what was there, at once or not at all. A link stays one: what it leads to is
/// replaced. What is no ordinary file (a device, a pipe) is written to as it is.
///
/// # Errors
/// [`ErrorKind::Output`] naming the file, with what to do about it.
pub fn write(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let written = if is_special(path) {
        OpenOptions::new().write(true).open(path).and_then(|mut file| write(&mut file))
    } else {
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        create(folder(&target)).and_then(|mut file| {
            write(file.as_file_mut())?;
            file.persist(&target).map(drop).map_err(|failed| failed.error)
        })
    };
    written.map_err(|error| failed(path, error))
}

fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Checks that the file `path` could be written now, before something long is done for it.
///
/// # Errors
/// As [`write()`].
pub fn check(path: &Path) -> Result<()> {
    if is_special(path) {
        return Ok(());
    }
    create(folder(path)).map(drop).map_err(|error| failed(path, error))
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest.png");
        std::fs::write(&path, "old").unwrap();
        let error = write(&path, |file| {
            file.write_all(b"half a pic")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert!(error.to_string().contains("latest.png") && error.to_string().contains("free some space"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_pipes_pipes() {
        use std::io::Read;
        let folder = tempfile::tempdir().unwrap();
        let (target, link, pipe) =
            (folder.path().join("target"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink("target", &link).unwrap();
        write(&link, |file| file.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");

        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let other = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(other).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        write(&pipe, |file| file.write_all(b"through")).unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(is_special(&pipe));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write(Path::new("no/such/file"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "cannot write no/such/file: no such file or directory: create its folder first");
        assert_eq!(folder(Path::new("name")), Path::new("."));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_other_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ordinary, ours) = (folder.path().join("ordinary"), folder.path().join("ours"));
        std::fs::write(&ordinary, "").unwrap();
        write(&ours, |_| Ok(())).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&ordinary));
    }
}
