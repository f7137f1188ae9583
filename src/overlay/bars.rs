//! The best classes: percentage, label, and below them a bar as long as the class is probable.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;

use super::text::Weight;
use super::{ACCENT, Canvas, Layout, MUTED, PANEL, STRONG, TEXT, WARNING};
use crate::prediction::{RegionReport, percent};

/// Letters in a row where the frame has room for them; fixed, so that the panel does not change size with labels.
const LETTERS: u32 = 32;
/// Letters of a percentage, the least a row shows.
const PERCENTAGE: usize = 6;

/// Draws as much of what is shown of `region` as fits into the lower left of the frame.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, region: &RegionReport) -> Result<(), Infallible> {
    let Some(panel) = Panel::new(layout, region.shown().count()) else { return Ok(()) };
    let face = &layout.face;
    canvas.shade(&panel.area, PANEL.0, PANEL.1);
    for (index, (label, score)) in region.shown().take(panel.rows as usize).enumerate() {
        let (weight, text, fill) = match index {
            0 if region.is_unknown() => (Weight::Bold, STRONG, WARNING),
            0 => (Weight::Bold, STRONG, ACCENT),
            _ => (Weight::Plain, TEXT, MUTED),
        };
        let corner = panel.inner.top_left + Point::new(0, (panel.pitch * index as u32) as i32);
        let room = face.letters_in(panel.inner.size.width) as u32 * face.advance();
        face.draw(canvas, corner, &percentage(score), room, weight, text)?;
        // By itself: a label that is written to the left does not begin with its percentage.
        let before = (PERCENTAGE as u32 + 1) * face.advance();
        let behind = corner + Point::new(before as i32, 0);
        face.draw(canvas, behind, label, room.saturating_sub(before), weight, text)?;

        let below = corner + Point::new(0, (face.height() + panel.bar / 2) as i32);
        let track = Rectangle::new(below, Size::new(panel.inner.size.width, panel.bar));
        canvas.shade(&track, MUTED, 60);
        canvas.fill_solid(&Rectangle::new(below, Size::new(length(score, track.size.width), panel.bar)), fill)?;
    }
    Ok(())
}

/// Whether there is room for a row.
pub(super) fn fit(layout: &Layout) -> bool {
    Panel::new(layout, 1).is_some()
}

/// Where the rows go.
#[derive(Debug)]
struct Panel {
    area: Rectangle,
    /// `area` without its margins.
    inner: Rectangle,
    rows: u32,
    /// Pixels from one row to the next.
    pitch: u32,
    /// Height of a bar.
    bar: u32,
}

impl Panel {
    /// The panel for `wanted` rows, with fewer where they would cover more than three fifths of the frame's height
    /// or the status line; `None` where not even one fits.
    fn new(layout: &Layout, wanted: usize) -> Option<Self> {
        let (face, margin, padding) = (&layout.face, layout.gap * 2, layout.gap + layout.gap / 2);
        let bar = (face.height() / 6).max(2);
        let pitch = face.height() + bar / 2 + bar + layout.gap;
        // The last row has no gap below.
        let borders = 2 * padding - layout.gap;
        let room = (layout.height * 3 / 5).min(layout.height.saturating_sub(layout.status + 2 * margin));
        let rows = (room.saturating_sub(borders) / pitch).min(u32::try_from(wanted).unwrap_or(u32::MAX));
        let width = layout.width.saturating_sub(2 * margin).min(LETTERS * face.advance() + 2 * padding);
        let inner_width = width.saturating_sub(2 * padding);
        if rows == 0 || face.letters_in(inner_width) < PERCENTAGE {
            return None;
        }
        let height = rows * pitch + borders;
        let corner = Point::new(margin as i32, (layout.height - margin - height) as i32);
        let inset = Point::new(padding as i32, padding as i32);
        Some(Self {
            area: Rectangle::new(corner, Size::new(width, height)),
            inner: Rectangle::new(corner + inset, Size::new(inner_width, height - 2 * padding)),
            rows,
            pitch,
            bar,
        })
    }
}

/// A probability as six letters, `" 93.4%"` or `"100.0%"`.
fn percentage(score: f32) -> String {
    format!("{:>6}", percent(score))
}

/// A bar's length for a probability: proportional, rounded, at least one pixel so that each class has a bar.
fn length(score: f32, full: u32) -> u32 {
    // A score that is no number becomes 0 by the cast.
    ((score.clamp(0.0, 1.0) * full as f32).round() as u32).clamp(1, full.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_proportional_and_never_out_of_range() {
        assert_eq!([1.0, 0.5, 0.25, 0.0, 0.001].map(|score| length(score, 200)), [200, 100, 50, 1, 1]);
        assert_eq!([f32::NAN, f32::INFINITY, -1.0, 7.0].map(|score| length(score, 200)), [1, 200, 1, 200]);
    }

    #[test]
    fn percentages_align() {
        assert_eq!([1.0, 0.934, 0.0, 0.00049].map(percentage), ["100.0%", " 93.4%", "  0.0%", "  0.0%"]);
        assert_eq!(percentage(f32::NAN), "  NaN%");
    }

    #[test]
    fn panels_stay_inside_and_clear_of_the_status_line() {
        for (width, height) in [(64, 64), (96, 96), (320, 240), (640, 480), (1920, 1080), (64, 4000), (4000, 90)] {
            let layout = Layout::new(width, height);
            for wanted in [1, 5, 1000, usize::MAX] {
                let panel = Panel::new(&layout, wanted).unwrap();
                let corner = panel.area.bottom_right().unwrap();
                assert!(panel.area.top_left.x > 0 && panel.area.top_left.y > layout.status as i32);
                assert!(corner.x < width as i32 && corner.y < height as i32);
                assert!(panel.area.size.height <= height * 3 / 5, "{width}x{height}");
                assert!(panel.rows as usize <= wanted);
            }
        }
        for (width, height) in [(0, 0), (1, 1), (32, 32), (20, 9000), (9000, 20)] {
            assert!(Panel::new(&Layout::new(width, height), 5).is_none(), "{width}x{height}");
        }
        assert!(Panel::new(&Layout::new(640, 480), 0).is_none());
        assert_eq!(Panel::new(&Layout::new(320, 240), 5).unwrap().rows, 5);
    }
}
