//! An output that gets its pictures as the camera delivered them, without labels.

use std::path::Path;

use super::{Delivery, Sink};
use crate::error::{Error, Result};
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// An output without overlay.
pub(super) struct Clean(Box<dyn Sink>);

impl Clean {
    pub(super) fn new(output: Box<dyn Sink>) -> Self {
        Self(output)
    }
}

impl Sink for Clean {
    fn wants_picture(&self) -> bool {
        self.0.wants_picture()
    }

    fn wants_overlay(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        self.0.deliver(report, picture)
    }

    fn skip(&mut self, skipped: u64) {
        self.0.skip(skipped);
    }

    fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }

    fn describe(&self) -> String {
        format!("{}, without overlay", self.0.describe())
    }

    fn trouble(&mut self) -> Option<Error> {
        self.0.trouble()
    }

    fn lost(&self) -> u64 {
        self.0.lost()
    }

    fn file(&self) -> Option<&Path> {
        self.0.file()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Keeps the number of skipped frames.
    struct Skipping(Arc<AtomicU64>);

    impl Sink for Skipping {
        fn wants_picture(&self) -> bool {
            true
        }

        fn deliver(&mut self, _: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
            Ok(Delivery::Continue)
        }

        fn skip(&mut self, skipped: u64) {
            self.0.store(skipped, Ordering::Relaxed);
        }

        fn finish(&mut self) -> Result<()> {
            Ok(())
        }

        fn describe(&self) -> String {
            "skipping".into()
        }
    }

    #[test]
    fn skipped_frames_are_passed_on() {
        let told = Arc::new(AtomicU64::new(0));
        let mut sink = Clean::new(Box::new(Skipping(told.clone())));
        sink.skip(3);
        assert_eq!((told.load(Ordering::Relaxed), sink.describe().as_str()), (3, "skipping, without overlay"));
    }
}
