//! A file in memory, shared with all processes that map it.

use std::fs::File;
use std::ops::Deref;

use memmap2::Mmap;

/// The bytes of a file that nobody may write to.
#[derive(Debug)]
pub struct Mapping(Mmap);

impl Mapping {
    /// Maps a file, if no bytes of it can change under a reader: it is a regular one, of this user or of root, without any permission to
    /// write. Whoever is to give it other contents has to replace it, as `densight prepare` does, or to change its mode first.
    pub fn of(file: &File) -> Option<Self> {
        if !is_protected(file) {
            return None;
        }
        // SAFETY: the file's bytes do not change and do not vanish while they are mapped, as `is_protected` holds: only its owner or
        // root could write to it or shorten it, each only by ignoring its mode, and both are trusted with this process anyway.
        unsafe { Mmap::map(file) }.ok().map(Self)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(unix)]
fn is_protected(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o222 == 0 && [0, user].contains(&found.uid()))
}

#[cfg(not(unix))]
fn is_protected(_: &File) -> bool {
    false
}
