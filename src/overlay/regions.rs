//! Regions: an outline each, with a label in its upper left corner.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::primitives::Rectangle;

use super::text::Weight;
use super::{ACCENT, Canvas, Layout, MUTED, PANEL, STRONG};
use crate::prediction::{RegionReport, percent};

/// A label cut to fewer letters than this says nothing.
const SHORTEST: u32 = 4;

/// Draws `regions`. Of a single one that is all of the frame only the state is shown, where it has one: the bars say the rest.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, regions: &[RegionReport]) -> Result<(), Infallible> {
    for region in regions {
        let is_frame = (region.area.width, region.area.height) == (layout.width, layout.height);
        if regions.len() == 1 && is_frame && region.state.is_none() {
            continue;
        }
        if !is_frame {
            outline(canvas, layout, region)?;
        }
        label(canvas, layout, region)?;
    }
    Ok(())
}

/// Green where a label holds, or where states are not followed and the network knows what it sees.
fn outline(canvas: &mut Canvas, layout: &Layout, region: &RegionReport) -> Result<(), Infallible> {
    let is_uncertain = region.state.as_ref().map_or(region.is_unknown(), |state| state.labels.is_empty());
    let color = if is_uncertain { MUTED } else { ACCENT };
    let (width, height) = (region.area.width, region.area.height);
    let (left, top) = (region.area.left as i32, region.area.top as i32);
    let thick = (layout.gap / 2).max(1).min(width).min(height);
    let (right, bottom) = (left + (width - thick) as i32, top + (height - thick) as i32);
    for (x, y, size) in [
        (left, top, Size::new(width, thick)),
        (left, bottom, Size::new(width, thick)),
        (left, top, Size::new(thick, height)),
        (right, top, Size::new(thick, height)),
    ] {
        canvas.fill_solid(&Rectangle::new(Point::new(x, y), size), color)?;
    }
    Ok(())
}

/// Inside of the region and below the status line; nothing where there is no room.
fn label(canvas: &mut Canvas, layout: &Layout, region: &RegionReport) -> Result<(), Infallible> {
    let (face, gap) = (&layout.face, layout.gap);
    let top = region.area.top.max(layout.status);
    let room = (region.area.top + region.area.height).saturating_sub(top);
    let text = text(region);
    let whole = face.width(&text);
    let width = whole.min(face.letters_in(region.area.width.saturating_sub(4 * gap)) as u32 * face.advance());
    if width < whole.min(SHORTEST * face.advance()) || room < face.height() + 2 * gap {
        return Ok(());
    }
    let corner = Point::new((region.area.left + gap) as i32, (top + gap) as i32);
    let size = Size::new(width + 2 * gap, face.height() + gap);
    canvas.shade(&Rectangle::new(corner, size), PANEL.0, PANEL.1);
    let inset = Point::new(gap as i32, (gap / 2) as i32);
    face.draw(canvas, corner + inset, &text, width, Weight::Bold, STRONG)
}

/// The region's name and its state, or its best class.
fn text(region: &RegionReport) -> String {
    let best = || region.shown().next().map(|(label, score)| format!("{label} {}", percent(score)));
    match region.state_text().or_else(best) {
        Some(what) => format!("{}: {what}", region.name),
        None => region.name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::frame::{Area, RgbImage};
    use crate::prediction::{State, Unknown};

    fn region(left: u32, top: u32, width: u32, height: u32, labels: Option<&[&str]>) -> RegionReport {
        let state = labels.map(|labels| State {
            labels: labels.iter().map(|&label| label.into()).collect(),
            since: std::time::Duration::ZERO,
        });
        let area = Area { left, top, width, height };
        RegionReport { name: "gate".into(), area, state, ..report().regions.remove(0) }
    }

    fn drawn(regions: &[RegionReport]) -> RgbImage {
        let mut image = RgbImage::filled(640, 480, [0; 3]);
        let layout = Layout::new(640, 480);
        let Ok(()) = draw(&mut Canvas::new(&mut image), &layout, regions);
        image
    }

    #[test]
    fn a_label_is_the_state_or_the_best_class() {
        assert_eq!(text(&region(0, 0, 9, 9, Some(&["open"]))), "gate: open");
        assert_eq!(text(&region(0, 0, 9, 9, Some(&["cat", "dog"]))), "gate: cat, dog");
        assert_eq!(text(&region(0, 0, 9, 9, Some(&[]))), "gate: uncertain");
        assert_eq!(text(&region(0, 0, 9, 9, None)), "gate: Egyptian cat 75.0%");
        let unknown = Some(Unknown { score: 0.97, threshold: 0.8 });
        let stranger = |state| RegionReport { unknown, ..region(0, 0, 9, 9, state) };
        assert_eq!(text(&stranger(None)), "gate: unknown 97.0%");
        assert_eq!(text(&stranger(Some(&[]))), "gate: unknown");
        assert_eq!(text(&stranger(Some(&["open"]))), "gate: open");
        let known =
            RegionReport { unknown: Some(Unknown { score: 0.7, threshold: 0.8 }), ..region(0, 0, 9, 9, Some(&[])) };
        assert_eq!(text(&known), "gate: uncertain");
        let nothing = RegionReport { predictions: vec![], ..region(0, 0, 9, 9, None) };
        assert_eq!(text(&nothing), "gate");
    }

    #[test]
    fn regions_are_outlined_and_nothing_outside_of_them_is_touched() {
        let image = drawn(&[region(100, 200, 300, 90, Some(&["open"])), region(450, 50, 3, 2, Some(&[]))]);
        let rgb = |color: embedded_graphics::pixelcolor::Rgb888| {
            use embedded_graphics::pixelcolor::RgbColor;
            [color.r(), color.g(), color.b()]
        };
        for (x, y) in [(100, 200), (399, 200), (100, 289), (399, 289), (250, 289), (100, 240)] {
            assert_eq!(image.pixel(x, y), rgb(ACCENT), "({x}, {y})");
        }
        assert_eq!(image.pixel(452, 51), rgb(MUTED));
        let inside = |x, y| {
            (100..400).contains(&x) && (200..290).contains(&y) || (450..453).contains(&x) && (50..52).contains(&y)
        };
        let touched = |x, y| image.pixel(x, y) != [0; 3];
        assert!((0..480).all(|y| (0..640).all(|x| inside(x, y) || !touched(x, y))));
        assert!((204..230).any(|y| (104..250).any(|x| image.pixel(x, y) == rgb(STRONG))), "the label");
    }

    #[test]
    fn the_whole_frame_has_a_label_only_with_a_state() {
        let black = RgbImage::filled(640, 480, [0; 3]);
        assert!(drawn(&[region(0, 0, 640, 480, None)]) == black);
        assert!(drawn(&[region(0, 0, 640, 480, Some(&["open"]))]) != black);
    }
}
