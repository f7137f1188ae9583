//! The line at the frame's top: the camera's or the model's name at the left, how the loop is doing at the right. The picture of a camera
//! with a name says its time, too.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::text::Weight;
use super::{ACCENT, Canvas, Layout, ON_WARNING, PANEL, STRONG, TEXT, WARNING};
use crate::prediction::FrameReport;

/// The warning that the processor is slowed down by heat or low voltage.
const THROTTLED: &str = "THROTTLED";
/// A name cut to fewer letters than this says nothing.
const SHORTEST_NAME: u32 = 4;

/// Draws the status line over the frame's whole width.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, report: &FrameReport) -> Result<(), Infallible> {
    let (face, gap) = (&layout.face, layout.gap);
    let letters = face.letters_in(layout.width.saturating_sub(4 * gap));
    let fields = fields(report, letters);
    if fields.is_empty() || layout.height < 2 * layout.status {
        return Ok(());
    }
    canvas.shade(&Rectangle::new(Point::zero(), Size::new(layout.width, layout.status)), PANEL.0, PANEL.1);
    let room = letters as u32 * face.advance();
    let y = (gap / 2) as i32;
    let mut right = layout.width - 2 * gap;
    for field in fields.iter().rev() {
        right -= field.chars().count() as u32 * face.advance();
        let corner = Point::new(right as i32, y);
        if *field == THROTTLED {
            let chip = Rectangle::new(
                Point::new((right - gap) as i32, 0),
                Size::new(THROTTLED.len() as u32 * face.advance() + 2 * gap, layout.status),
            );
            canvas.fill_solid(&chip, WARNING)?;
            face.draw(canvas, corner, field, room, Weight::Bold, ON_WARNING)?;
        } else {
            face.draw(canvas, corner, field, room, Weight::Plain, TEXT)?;
        }
        right = right.saturating_sub(2 * face.advance());
    }
    // The mark before the name takes two letters.
    let room = (face.letters_in(right.saturating_sub(2 * gap)) as u32).saturating_sub(2) * face.advance();
    if room >= (SHORTEST_NAME * face.advance()).min(face.width(report.title())) {
        let side = face.height() / 2;
        let mark = Rectangle::new(Point::new(2 * gap as i32, y + (face.height() / 4) as i32), Size::new(side, side));
        canvas.fill_solid(&mark, ACCENT)?;
        let corner = Point::new((2 * gap + 2 * face.advance()) as i32, y);
        face.draw(canvas, corner, report.title(), room, Weight::Bold, STRONG)?;
    }
    Ok(())
}

/// What the right side says, as far as it fits into `letters` with two blanks between fields: in the order shown,
/// which is also that of importance. Numbers are padded, so that the line does not tremble.
fn fields(report: &FrameReport, letters: usize) -> Vec<String> {
    let mut fields = Vec::new();
    if report.throttled == Some(true) {
        fields.push(THROTTLED.to_string());
    }
    if report.camera.is_some() {
        fields.extend(time(report, &TimeZone::system()));
    }
    fields.push(format!("{:4.1} fps", report.fps));
    fields.push(format!("{:5.1} ms", report.latency.as_secs_f64() * 1e3));
    fields.push(format!("{} dropped", report.dropped));
    if report.damaged > 0 {
        fields.push(format!("{} damaged", report.damaged));
    }
    if report.lost > 0 {
        fields.push(format!("{} lost", report.lost));
    }
    let mut used = 0;
    let fitting = fields.iter().take_while(|field| {
        used += field.chars().count() + 2;
        used <= letters + 2
    });
    let count = fitting.count();
    fields.truncate(count);
    fields
}

/// When the picture was captured, to the second.
fn time(report: &FrameReport, zone: &TimeZone) -> Option<String> {
    let time = Timestamp::try_from(report.timestamp).ok()?;
    strtime::format("%Y-%m-%d %H:%M:%S", &time.to_zoned_datetime(zone.clone())).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_camera_with_a_name_says_the_time() {
        let mut report = report();
        assert_eq!(report.title(), "densenet121-k32");
        report.camera = Some("front".into());
        report.timestamp = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(report.title(), "front");
        assert_eq!(time(&report, &TimeZone::UTC).as_deref(), Some("2023-11-14 22:13:20"));
        assert_eq!(fields(&report, 99).len(), 5);
        assert_eq!(fields(&report, 30)[1], "29.8 fps");
    }

    #[test]
    fn what_matters_most_is_left_out_last() {
        let mut report = report();
        assert_eq!(fields(&report, 99), ["29.8 fps", " 12.3 ms", "7 dropped", "2 damaged"]);
        assert_eq!(fields(&report, 39), ["29.8 fps", " 12.3 ms", "7 dropped"]);
        (report.damaged, report.lost) = (0, 3);
        assert_eq!(fields(&report, 99), ["29.8 fps", " 12.3 ms", "7 dropped", "3 lost"]);
        assert_eq!(fields(&report, 29), ["29.8 fps", " 12.3 ms", "7 dropped"]);
        assert_eq!(fields(&report, 28), ["29.8 fps", " 12.3 ms"]);
        report.throttled = Some(true);
        assert_eq!(fields(&report, 20), ["THROTTLED", "29.8 fps"]);
        assert!(fields(&report, 8).is_empty());
        report.throttled = Some(false);
        assert_eq!(fields(&report, 8), ["29.8 fps"]);
    }
}
