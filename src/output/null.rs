//! Nowhere: for measuring how fast the rest is.

use super::{Delivery, Sink};
use crate::error::Result;
use crate::frame::RgbImage;
use crate::prediction::FrameReport;

/// Discards results and counts them.
#[derive(Debug, Default)]
pub(super) struct Null {
    discarded: u64,
}

impl Sink for Null {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, _: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        self.discarded += 1;
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("null:// ({} results discarded)", self.discarded)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn results_are_counted() {
        let mut sink = Null::default();
        for _ in 0..3 {
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        }
        sink.finish().unwrap();
        assert_eq!(sink.describe(), "null:// (3 results discarded)");
    }
}
