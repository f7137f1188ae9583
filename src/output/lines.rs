//! A stream of text lines, each on its way at once: to standard output or into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::Delivery;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::files::{self, advice};

/// Writes whole lines.
pub(super) struct Lines {
    writer: Box<dyn Write + Send>,
    /// What the lines go to, for messages.
    name: String,
    /// The same file as `writer`, where that is a regular one.
    file: Option<File>,
    /// Whether what is there ends within a line.
    torn: bool,
}

impl Lines {
    /// Lines to standard output.
    pub(super) fn stdout() -> Self {
        Self::to(io::stdout(), "standard output")
    }

    /// Lines to any writer.
    pub(super) fn to(writer: impl Write + Send + 'static, name: &str) -> Self {
        Self { writer: Box::new(writer), name: name.into(), file: None, torn: false }
    }

    /// Lines added to the end of a file, which is created where it is missing. Where it ends within a line (what was written to it before
    /// was cut off), the first line begins on a new one: it is not for us to remove what others may have written.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when it cannot be opened for writing.
    pub(super) fn append(path: &Path) -> Result<Self> {
        let failed = |error| Error::io(ErrorKind::Output, "write", path, error);
        let target = files::resolve(path).map_err(failed)?;
        let file = files::open(OpenOptions::new().append(true).create(true), &target).map_err(failed)?;
        let mut lines = Self::to(file.try_clone().map_err(failed)?, &path.display().to_string());
        if file.metadata().map_err(failed)?.is_file() {
            lines.torn = ends_within_a_line(&target);
            lines.file = Some(file);
        }
        Ok(lines)
    }

    /// Writes `line`, which ends with a line end, and flushes.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when it could not be written whole (disk full). A file then ends with the line before.
    pub(super) fn write(&mut self, line: &str) -> Result<Delivery> {
        let before = self.length();
        let begin = if self.torn { "\n" } else { "" };
        let mut write = |text: &str| self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
        match if begin.is_empty() { write(line) } else { write(&format!("{begin}{line}")) } {
            Ok(()) => {
                self.torn = false;
                Ok(Delivery::Continue)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Delivery::Stop),
            Err(error) => {
                self.cut(before, begin.len() + line.len());
                let message = format!("cannot write to {}: {}{}", self.name, reason(&error), advice(&error));
                Err(Error::new(ErrorKind::Output, message).caused_by(error))
            }
        }
    }

    /// Length of the file: as it is, and not as it was left, since others may have shortened it (log rotation) or added to it.
    fn length(&self) -> Option<u64> {
        self.file.as_ref()?.metadata().ok().map(|about| about.len())
    }

    /// Takes away what was written of a line of `most` bytes that could not be written whole, if nothing else can be meant: the file
    /// never gets longer by it, and what others added stays. Best effort: the failure itself is what is reported.
    fn cut(&self, before: Option<u64>, most: usize) {
        if let (Some(file), Some(before), Some(now)) = (&self.file, before, self.length())
            && now.checked_sub(before).is_some_and(|added| added > 0 && added < most as u64)
        {
            let _ = file.set_len(before);
        }
    }

    /// What the lines go to.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Whether there is something after the last line end of a file; false where it may not be read.
fn ends_within_a_line(path: &Path) -> bool {
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last != [b'\n']
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_the_end_and_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer, "pipe");
        assert_eq!(lines.write("one\n").unwrap(), Delivery::Continue);
        drop(reader);
        assert_eq!(lines.write("two\n").unwrap(), Delivery::Stop);
        assert_eq!(lines.write("three\n").unwrap(), Delivery::Stop);
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let error = Lines::append(Path::new("/dev/full")).unwrap().write("line\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert_eq!(
            error.to_string(),
            "cannot write to /dev/full: no space left on device: free some space or write elsewhere"
        );
    }

    /// Takes a few bytes, then is full.
    struct Filling(File);

    impl Write for Filling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write_all(&bytes[..3])?;
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_half_line_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "earlier\n").unwrap();
        let mut lines = Lines::append(&path).unwrap();
        assert_eq!(lines.write("one\n").unwrap(), Delivery::Continue);
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        lines.writer = Box::new(Filling(file));
        assert!(lines.write("another\n").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier\none\n");
        // As a program that rotates logs does: what is then cut is what is there.
        std::fs::write(&path, "").unwrap();
        assert!(lines.write("another\n").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        // There is room again.
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        lines.writer = Box::new(file);
        assert_eq!(lines.write("two\n").unwrap(), Delivery::Continue);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn what_two_write_stays_when_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut ours, mut theirs) = (Lines::append(&path).unwrap(), Lines::append(&path).unwrap());
        assert_eq!(theirs.write("theirs\n").unwrap(), Delivery::Continue);
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        ours.writer = Box::new(Filling(file));
        assert!(ours.write("ours\n").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n");
    }

    #[test]
    fn a_file_that_ends_within_a_line_goes_on_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "{\"cut").unwrap();
        let mut lines = Lines::append(&path).unwrap();
        for line in ["one\n", "two\n"] {
            assert_eq!(lines.write(line).unwrap(), Delivery::Continue);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"cut\none\ntwo\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_of_others_are_not_followed_where_others_may_write() {
        use std::os::unix::fs::{PermissionsExt, lchown, symlink};
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).unwrap();
        let (target, link) = (folder.path().join("precious"), folder.path().join("log"));
        std::fs::write(&target, "old\n").unwrap();
        symlink(&target, &link).unwrap();
        if lchown(&link, Some(54_321), None).is_err() {
            let _ = writeln!(io::stderr(), "SKIPPED: only root can make links of other users");
            return;
        }
        let error = Lines::append(&link).err().unwrap();
        assert!(error.to_string().contains("is a link that somebody else put into a folder"), "{error}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "old\n");
    }
}
