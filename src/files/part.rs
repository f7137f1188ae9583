//! A file that is being written and has no final name yet.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

const PREFIX: &str = ".densight-";
const SUFFIX: &str = ".part";

/// It vanishes unless it gets a name.
#[derive(Debug)]
pub(super) enum Part {
    /// It has no name at all, so that the system removes it when the program ends, however that is.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// It has a name that says whose it is.
    Named(NamedTempFile),
}

impl Part {
    /// A file in `folder`, with the mode of any program's files (what the umask allows, not private as temporary files are).
    ///
    /// # Errors
    /// The system's, when no file can be created there.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        sweep_once(folder);
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(folder) {
            return Ok(Self::Unnamed(file));
        }
        Self::named(folder)
    }

    pub(super) fn named(folder: &Path) -> io::Result<Self> {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let part = builder.tempfile_in(folder)?;
        // Held as long as the file is open: that is how others know it is in use. Where there are no locks, by its name.
        let _ = part.as_file().try_lock();
        Ok(Self::Named(part))
    }

    pub(super) fn file(&mut self) -> &mut File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Named(part) => part.as_file_mut(),
        }
    }

    /// Lets those read and write it who may with the file that it replaces.
    pub(super) fn take_mode_of(&mut self, replaced: &Metadata) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Not set-user-ID and the like: its owner may be another now.
            let mode = replaced.permissions().mode() & 0o777;
            self.file().set_permissions(fs::Permissions::from_mode(mode))?;
        }
        #[cfg(not(unix))]
        let _ = replaced;
        Ok(())
    }

    /// Names it `target`, in its own folder, in place of what has that name; of a link, the link.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn persist(self, target: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => link(&file, target),
            Self::Named(part) => part.persist(target).map(drop).map_err(|failed| failed.error),
        }
    }
}

/// A file without a name, where the file system has such and they can be given one.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let file = options.read(true).write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(folder).ok()?;
    let _ = file.try_lock();
    descriptor(&file).exists().then_some(file)
}

/// Where the system shows an open file: a link to it, even if it has no name.
#[cfg(target_os = "linux")]
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(target_os = "linux")]
fn link(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let name = |path: &Path| linkat(CWD, descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
    match name(target) {
        Err(error) if error == rustix::io::Errno::EXIST => {}
        other => return other.map_err(io::Error::from),
    }
    // Only renaming replaces, so that it needs a name for a moment.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let between = super::folder(target).join(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
    name(&between)?;
    fs::rename(&between, target).inspect_err(|_| _ = fs::remove_file(&between))
}

/// Removes what programs that were killed left in `folder`, once for each folder.
fn sweep_once(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.insert(folder.to_owned()) {
        sweep(folder);
    }
}

pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-'));
        let owner = owner.and_then(|(id, _)| id.parse::<u32>().ok());
        if owner.is_some_and(is_gone) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // Of a process in another container too the number means nothing here, but its lock holds.
            let is_free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if is_free {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether there is no process of this number; false where that cannot be told.
fn is_gone(id: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{id}")).exists()
}
