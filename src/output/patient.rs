//! An output to files that goes on when they cannot be written: a full disk is no reason to end what else there is.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Delivery, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// After a failure nothing is tried for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// Pauses when its output fails, tries again, and counts what was lost. That it lost something is an error at the end.
pub(super) struct Patient<S> {
    output: S,
    pause: Duration,
    /// Until when it pauses, since its output failed.
    paused: Option<Instant>,
    lost: u64,
    told: Option<Error>,
    /// Whether it ever worked.
    worked: bool,
}

impl<S: Sink> Patient<S> {
    pub(super) fn new(output: S) -> Self {
        Self { output, pause: PAUSE, paused: None, lost: 0, told: None, worked: false }
    }

    fn failed(&mut self, error: Error) {
        self.lost += 1;
        if self.paused.is_none() {
            let message = format!("{error} (tried again every {} s)", self.pause.as_secs());
            self.told = Some(Error::new(error.kind(), message).caused_by(error));
        }
        self.paused = Some(Instant::now() + self.pause);
    }
}

impl<S: Sink> Sink for Patient<S> {
    fn wants_picture(&self) -> bool {
        self.output.wants_picture()
    }

    fn wants_overlay(&self) -> bool {
        self.output.wants_overlay()
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        if self.paused.is_some_and(|until| Instant::now() < until) {
            self.lost += 1;
            return Ok(Delivery::Continue);
        }
        match self.output.deliver(report, picture) {
            // What never worked is more likely wrong than full.
            Err(error) if error.kind() == ErrorKind::Output && (self.worked || is_full(&error)) => {
                self.failed(error);
                Ok(Delivery::Continue)
            }
            delivered => {
                self.worked |= delivered.is_ok();
                if self.paused.take().is_some() {
                    let message = format!("{}: written again, {} results were lost", self.describe(), self.lost);
                    self.told = Some(Error::new(ErrorKind::Output, message));
                }
                delivered
            }
        }
    }

    fn skip(&mut self, skipped: u64) {
        self.output.skip(skipped);
    }

    fn finish(&mut self) -> Result<()> {
        self.output.finish()?;
        if self.lost > 0 {
            let message = format!("{}: {} results were lost", self.describe(), self.lost);
            return Err(Error::new(ErrorKind::Output, message));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        self.output.describe()
    }

    fn trouble(&mut self) -> Option<Error> {
        self.told.take()
    }

    fn lost(&self) -> u64 {
        self.lost
    }

    fn file(&self) -> Option<&Path> {
        self.output.file()
    }
}

/// Whether there was no room.
fn is_full(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    matches!(cause, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    /// Fails while its number is among these.
    struct Flaky {
        number: u64,
        fails: std::ops::Range<u64>,
        with: ErrorKind,
    }

    impl Sink for Flaky {
        fn wants_picture(&self) -> bool {
            false
        }

        fn deliver(&mut self, _: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
            self.number += 1;
            match self.fails.contains(&self.number) {
                true => Err(Error::new(self.with, "no space left on device")),
                false => Ok(Delivery::Continue),
            }
        }

        fn finish(&mut self) -> Result<()> {
            Ok(())
        }

        fn describe(&self) -> String {
            "JSON lines to log".into()
        }
    }

    fn patient(fails: std::ops::Range<u64>, with: ErrorKind, pause: Duration) -> Patient<Flaky> {
        Patient { pause, ..Patient::new(Flaky { number: 0, fails, with }) }
    }

    #[test]
    fn a_full_disk_is_told_once_and_what_it_cost_at_the_end() {
        let mut sink = patient(2..5, ErrorKind::Output, Duration::ZERO);
        let mut told = Vec::new();
        for _ in 0..6 {
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
            told.extend(sink.trouble().map(|error| error.to_string()));
        }
        let expected = [
            "no space left on device (tried again every 0 s)",
            "JSON lines to log: written again, 3 results were lost",
        ];
        assert_eq!((told, sink.lost()), (expected.map(String::from).to_vec(), 3));
        assert_eq!(sink.finish().unwrap_err().to_string(), "JSON lines to log: 3 results were lost");
        let mut sink = patient(0..0, ErrorKind::Output, Duration::ZERO);
        assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        assert!(sink.finish().is_ok());
    }

    #[test]
    fn nothing_is_tried_while_it_pauses() {
        let mut sink = patient(2..3, ErrorKind::Output, Duration::from_secs(3600));
        for _ in 0..100 {
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        }
        assert_eq!((sink.output.number, sink.lost()), (2, 99));
    }

    #[test]
    fn other_errors_end_it_and_so_does_an_output_that_never_worked() {
        for with in [ErrorKind::Fault, ErrorKind::Output] {
            let mut sink = patient(1..2, with, Duration::ZERO);
            assert_eq!(sink.deliver(&report(), None).unwrap_err().kind(), with);
        }
        let full =
            |kind: io::ErrorKind| is_full(&Error::new(ErrorKind::Output, "full").caused_by(io::Error::from(kind)));
        assert!(full(io::ErrorKind::StorageFull) && !full(io::ErrorKind::PermissionDenied));
    }
}
