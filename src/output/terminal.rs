//! One line a frame, for people.
//!
//! ```text
//! #41   93.8% Egyptian cat    3.1% tabby        |  23.5 ms | 29.8 fps | 7 dropped | photos/cat.jpg
//! ```

use std::fmt::Write;
use std::sync::Arc;

use unicode_width::UnicodeWidthStr;

use super::lines::Lines;
use super::{Delivery, Sink};
use crate::error::Result;
use crate::frame::RgbImage;
use crate::prediction::{FrameReport, RegionReport, percent};
use crate::text;

/// Columns of a terminal that labels are aligned in, at most: longer ones push what follows to the right.
const WIDEST: usize = 32;

/// Plain lines, alike on a terminal and in a pipe.
pub(super) struct Terminal {
    lines: Lines,
    /// Columns of each region's widest label so far.
    widths: Vec<usize>,
    /// Whether frames are left out whose best labels are those of the line before.
    changes: bool,
    /// The best label of each region in the line before.
    best: Option<Vec<Option<Arc<str>>>>,
}

impl Terminal {
    /// Lines to standard output: one for each frame, or for those only whose best label is another than before, or that have an event.
    pub(super) fn stdout(changes: bool) -> Self {
        Self { lines: Lines::stdout(), widths: Vec::new(), changes, best: None }
    }

    /// Whether `report` says something new.
    fn is_news(&mut self, report: &FrameReport) -> bool {
        let best = |region: &RegionReport| region.shown().next().map(|(label, _)| label.into());
        let best = Some(report.regions.iter().map(best).collect());
        let is_same = self.best == best;
        self.best = best;
        !is_same || !report.events.is_empty()
    }
}

impl Sink for Terminal {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        if self.changes && !self.is_news(report) {
            return Ok(Delivery::Continue);
        }
        self.lines.write(&line(report, &mut self.widths))
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        let when = if self.changes { ", where the label changes" } else { "" };
        format!("lines to {}{when}", self.lines.name())
    }
}

/// `report` as one line. `widths` are those of the regions' columns so far, which become wider where a label is.
fn line(report: &FrameReport, widths: &mut Vec<usize>) -> String {
    widths.resize(report.regions.len(), 0);
    let mut line = format!("#{:<4}", report.sequence);
    // Writing to a string cannot fail.
    for (index, (region, width)) in report.regions.iter().zip(widths).enumerate() {
        if report.regions.len() > 1 {
            let _ = write!(line, "{} {}:", if index > 0 { "|" } else { "" }, text::name(&region.name));
        }
        let labels: Vec<String> = region.shown().map(|(label, _)| text::name(label)).collect();
        *width = labels.iter().map(|label| label.width()).fold(*width, usize::max).min(WIDEST);
        for ((_, score), label) in region.shown().zip(&labels) {
            let blanks = width.saturating_sub(label.width());
            let _ = write!(line, " {:>6} {label}{:blanks$} ", percent(score), "");
        }
        if labels.is_empty() {
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
    use crate::prediction::Event;

    /// The line of a sink that has written none.
    fn line(report: &FrameReport) -> String {
        super::line(report, &mut Vec::new())
    }

    #[test]
    fn a_line_says_it_all() {
        let mut report = report();
        assert_eq!(
            line(&report),
            "#41    93.8% Egyptian cat    3.1% tabby        |  23.5 ms | 29.8 fps | 7 dropped, 2 damaged | photos/cat \"1\".jpg\n"
        );
        report.throttled = Some(true);
        (report.origin, report.damaged) = (None, 0);
        report.regions[0].predictions.clear();
        assert_eq!(line(&report), "#41   no class |  23.5 ms | 29.8 fps | 7 dropped | THROTTLED\n");
    }

    #[test]
    fn what_is_unknown_comes_first() {
        let mut report = report();
        report.regions[0].unknown = Some(crate::prediction::Unknown { score: 0.975, threshold: 0.8 });
        let expected = "#41    97.5% unknown        93.8% Egyptian cat    3.1% tabby        |";
        assert!(line(&report).starts_with(expected), "{}", line(&report));
        let mut terminal = Terminal::stdout(true);
        assert!(terminal.is_news(&report) && !terminal.is_news(&report));
        report.regions[0].unknown = None;
        assert!(terminal.is_news(&report));
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
    fn columns_are_as_wide_as_the_widest_label_so_far() {
        let (mut report, mut widths) = (report(), Vec::new());
        let mut end = |labels: [&str; 2]| {
            for (prediction, label) in report.regions[0].predictions.iter_mut().zip(labels) {
                prediction.label = label.into();
            }
            let line = super::line(&report, &mut widths);
            line.split(" | ").next().unwrap().width()
        };
        assert_eq!(end(["cat", "dog"]), end(["dog", "ox"]));
        let wide = end(["Egyptian cat", "dog"]);
        // Two columns each, and marks that take none.
        for labels in [["cat", "tabby"], ["猫", "犬"], ["e\u{301}", "Egyptian cat"], ["", "x"]] {
            assert_eq!(end(labels), wide, "{labels:?}");
        }
        end([&"x".repeat(90), "y"]);
        assert_eq!(end(["cat", "dog"]), wide + 2 * (WIDEST - "Egyptian cat".len()));
    }

    #[test]
    fn only_what_changes_is_news() {
        let mut report = report();
        let mut terminal = Terminal::stdout(true);
        assert!(terminal.describe().contains("where the label changes"));
        assert_eq!([(); 3].map(|()| terminal.is_news(&report)), [true, false, false]);
        report.regions[0].predictions[0].score = 0.5;
        report.regions[0].predictions[1].label = "lynx".into();
        assert!(!terminal.is_news(&report), "another score, another second class");
        report.regions[0].predictions[0].label = "tiger cat".into();
        assert_eq!([(); 2].map(|()| terminal.is_news(&report)), [true, false]);
        report.regions[0].predictions.clear();
        assert_eq!([(); 2].map(|()| terminal.is_news(&report)), [true, false]);
        report.events =
            vec![Event { time: report.timestamp, region: "gate".into(), label: None, active: true, score: 0.25 }];
        assert_eq!([(); 2].map(|()| terminal.is_news(&report)), [true, true], "each event is");
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
