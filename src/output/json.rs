//! JSON lines, on standard output or added to a file: see `record.rs` for what they say.

use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{Delivery, Sink, record};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// One record a line, each flushed.
pub(super) struct Json {
    lines: Lines,
    /// The file that they go to.
    path: Option<PathBuf>,
}

impl Json {
    /// Records to standard output (`-`), or added to the end of the file at `target`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] without a target, [`ErrorKind::Output`] for a file that cannot be written.
    pub(super) fn open(target: &str) -> Result<Self> {
        let lines = match target {
            "" => {
                let message = "json:// names no file: write json://PATH, or json://- for standard output";
                return Err(Error::new(ErrorKind::Usage, message));
            }
            "-" => Lines::stdout(),
            path => Lines::append(Path::new(path))?,
        };
        let path = (target != "-").then(|| target.into());
        Ok(Self { lines, path })
    }
}

impl Sink for Json {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        self.lines.write(&record::line(report, None))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("JSON lines to {}", self.lines.name())
    }

    fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn records_are_added_to_a_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        for run in 1..=2 {
            let mut sink = Json::open(path.to_str().unwrap()).unwrap();
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), record::line(&report(), None).repeat(run));
            sink.finish().unwrap();
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = Json::open("no/such/folder/log.jsonl").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Output);
        assert_eq!(error.to_string(), "cannot write no/such/folder/log.jsonl: no such file or directory");
    }
}
