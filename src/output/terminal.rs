//! One line a frame, for people.
//!
//! ```text
//! #41   93.8% Egyptian cat    3.1% tabby |  23.5 ms | 29.8 fps | 7 dropped | photos/cat.jpg
//! ```

use std::fmt::Write;

use super::lines::Lines;
use super::{Delivery, Sink};
use crate::error::Result;
use crate::frame::RgbImage;
use crate::prediction::{FrameReport, percent};
use crate::text;

/// Plain lines, alike on a terminal and in a pipe.
pub(super) struct Terminal {
    lines: Lines,
}

impl Terminal {
    /// Lines to standard output.
    pub(super) fn stdout() -> Self {
        Self { lines: Lines::stdout() }
    }
}

impl Sink for Terminal {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        self.lines.write(&line(report))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("lines to {}", self.lines.name())
    }
}

/// `report` as one line.
fn line(report: &FrameReport) -> String {
    let mut line = format!("#{:<4}", report.sequence);
    // Writing to a string cannot fail.
    for (index, region) in report.regions.iter().enumerate() {
        if report.regions.len() > 1 {
            let _ = write!(line, "{} {}:", if index > 0 { "|" } else { "" }, text::name(&region.name));
        }
        for prediction in &region.predictions {
            let _ = write!(line, " {:>6} {} ", percent(prediction.score), text::name(&prediction.label));
        }
        if region.predictions.is_empty() {
            line.push_str(" no class ");
        }
    }
    for event in &report.events {
        let ends = if event.active { "now" } else { "no longer" };
        let _ = write!(line, "| {} {ends} {} ", text::name(&event.region), text::name(event.label()));
    }
    let milliseconds = report.latency.as_secs_f64() * 1e3;
    let _ = write!(line, "| {milliseconds:5.1} ms | {:4.1} fps | {} dropped", report.fps, report.dropped);
    if report.damaged > 0 {
        let _ = write!(line, ", {} damaged", report.damaged);
    }
    if report.throttled == Some(true) {
        line.push_str(" | THROTTLED");
    }
    if let Some(origin) = &report.origin {
        let _ = write!(line, " | {}", text::line(origin));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::prediction::{Event, RegionReport};

    #[test]
    fn a_line_says_it_all() {
        let mut report = report();
        assert_eq!(
            line(&report),
            "#41    93.8% Egyptian cat    3.1% tabby |  23.5 ms | 29.8 fps | 7 dropped, 2 damaged | photos/cat \"1\".jpg\n"
        );
        report.throttled = Some(true);
        (report.origin, report.damaged) = (None, 0);
        report.regions[0].predictions.clear();
        assert_eq!(line(&report), "#41   no class |  23.5 ms | 29.8 fps | 7 dropped | THROTTLED\n");
    }

    #[test]
    fn regions_and_events_have_their_names() {
        let mut report = report();
        let mut gate = RegionReport { name: "gate".into(), ..report.regions[0].clone() };
        gate.predictions.truncate(1);
        report.regions[0].predictions.truncate(1);
        report.regions.push(gate);
        let event = Event { time: report.timestamp, region: "gate".into(), label: None, active: true, score: 0.25 };
        report.events = vec![Event { label: Some("tabby".into()), active: false, ..event.clone() }, event];
        let expected = "#41   frame:  93.8% Egyptian cat | gate:  93.8% Egyptian cat | gate no longer tabby | gate now uncertain |";
        assert!(line(&report).starts_with(expected), "{}", line(&report));
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut report = report();
        report.regions[0].predictions[0].label = "cat\x1b[2J\n".into();
        report.origin = Some("a\nb\u{9b}".into());
        let text = line(&report);
        assert_eq!(text.chars().filter(|c| c.is_control()).count(), 1);
        assert!(text.ends_with('\n'));
    }
}
