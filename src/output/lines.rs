//! A stream of text lines, each on its way at once: to standard output or into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Delivery;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::files::advice;

/// Writes whole lines.
pub(super) struct Lines {
    writer: Box<dyn Write + Send>,
    /// What the lines go to, for messages.
    name: String,
    /// The same file as `writer`, where that is a regular one, and its length after the last whole line.
    file: Option<(File, u64)>,
}

impl Lines {
    /// Lines to standard output.
    pub(super) fn stdout() -> Self {
        Self::to(io::stdout(), "standard output")
    }

    /// Lines to any writer.
    pub(super) fn to(writer: impl Write + Send + 'static, name: &str) -> Self {
        Self { writer: Box::new(writer), name: name.into(), file: None }
    }

    /// Lines added to the end of a file, which is created where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when it cannot be opened for writing.
    pub(super) fn append(path: &Path) -> Result<Self> {
        let failed = |error| Error::io(ErrorKind::Output, "write", path, error);
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let regular = if about.is_file() { Some((file.try_clone().map_err(failed)?, about.len())) } else { None };
        Ok(Self { file: regular, ..Self::to(file, &path.display().to_string()) })
    }

    /// Writes `line`, which ends with a line end, and flushes.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] when it could not be written whole (disk full). A file then ends with the line before.
    pub(super) fn write(&mut self, line: &str) -> Result<Delivery> {
        let written = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.flush());
        match written {
            Ok(()) => {
                if let Some((_, length)) = &mut self.file {
                    *length += line.len() as u64;
                }
                Ok(Delivery::Continue)
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Delivery::Stop),
            Err(error) => {
                if let Some((file, length)) = &self.file {
                    // Best effort: the failure itself is what is reported.
                    let _ = file.set_len(*length);
                }
                let message = format!("cannot write to {}: {}{}", self.name, reason(&error), advice(&error));
                Err(Error::new(ErrorKind::Output, message).caused_by(error))
            }
        }
    }

    /// What the lines go to.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
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
    }
}
