//! What the network saw, drawn on the picture: the best classes with a bar each, and a line of status.
//!
//! ```text
//! +--------------------------------------------------+
//! |# densenet121           29.8 fps  12.3 ms 0 dropped|  status.rs
//! |                                                  |
//! |  +------------------------+                      |
//! |  | 93.4% Egyptian cat     |                      |  bars.rs
//! |  | =====================  |                      |
//! |  |  4.1% tabby            |                      |
//! |  | =                      |                      |
//! |  +------------------------+                      |
//! +--------------------------------------------------+
//! ```
//!
//! Below all that, where there is one, is the best class's heat map (`heat.rs`).
//!
//! Regions have an outline and a label each (`regions.rs`); of several there are no bars.
//!
//! Everything stands on darkened panels through which the picture still shows, dark enough for the text to be
//! read on a white picture too. Sizes follow the frame's; what does not fit is left out or cut.

mod arabic;
mod bars;
mod canvas;
mod glyphs;
mod heat;
mod line;
mod regions;
mod status;
mod text;

use std::convert::Infallible;

use embedded_graphics::pixelcolor::Rgb888;

pub use canvas::Canvas;
pub use heat::draw_heat;

use crate::frame::RgbImage;
use crate::prediction::FrameReport;
use text::Face;

/// What panels are darkened with, and how much of it: white becomes grey 66, on which [`TEXT`] has a contrast of
/// 7 to 1.
const PANEL: (Rgb888, u8) = (Rgb888::new(10, 12, 18), 196);
/// The best class and the model.
const STRONG: Rgb888 = Rgb888::new(255, 255, 255);
/// All other text.
const TEXT: Rgb888 = Rgb888::new(206, 211, 220);
/// Bars of all classes but the best.
const MUTED: Rgb888 = Rgb888::new(138, 147, 163);
/// The best class's bar, and what else should catch the eye.
const ACCENT: Rgb888 = Rgb888::new(62, 224, 168);
/// That the processor is throttled.
const WARNING: Rgb888 = Rgb888::new(255, 176, 32);
/// Text on [`WARNING`].
const ON_WARNING: Rgb888 = Rgb888::new(24, 16, 0);

/// Draws `report` on `image`: regions, where there are several each with its best class in place of the bars. On a frame too small for any text nothing is drawn.
pub fn draw(image: &mut RgbImage, report: &FrameReport) {
    for region in &report.regions {
        if let Some(heat) = &region.heat {
            draw_heat(image, region.area, heat);
        }
    }
    let layout = Layout::for_report(image.width, image.height, report);
    let mut canvas = Canvas::new(image);
    let drawn: Result<(), Infallible> =
        regions::draw(&mut canvas, &layout, &report.regions).and_then(|()| status::draw(&mut canvas, &layout, report));
    let Ok(()) = drawn;
    if let [region] = &report.regions[..] {
        let Ok(()) = bars::draw(&mut canvas, &layout, region);
    }
}

/// All texts of `report` that are drawn and not the program's own.
fn texts(report: &FrameReport) -> impl Iterator<Item = &str> {
    let regions = report.regions.iter().flat_map(|region| {
        let states = region.state.iter().flat_map(|state| state.labels.iter().map(AsRef::as_ref));
        let labels = region.predictions.iter().map(|prediction| prediction.label.as_ref());
        [region.name.as_ref()].into_iter().chain(states).chain(labels)
    });
    regions.chain([report.title()])
}

/// The measures that all parts share, in pixels.
#[derive(Debug)]
struct Layout {
    face: Face,
    width: u32,
    height: u32,
    /// Between a panel's edge and what is on it, between rows: a quarter of a line.
    gap: u32,
    /// Height of the status line, at the frame's top.
    status: u32,
}

impl Layout {
    fn new(width: u32, height: u32) -> Self {
        Self::with(Face::for_frame(width, height), width, height)
    }

    fn with(face: Face, width: u32, height: u32) -> Self {
        let gap = (face.height() / 4).max(2);
        Self { face, width, height, gap, status: face.height() + gap }
    }

    /// With larger letters than the frame asks for where the report has some that cannot be read so small, and a row of them fits.
    fn for_report(width: u32, height: u32, report: &FrameReport) -> Self {
        let layout = Self::new(width, height);
        if layout.face.is_roomy() {
            return layout;
        }
        let larger = Self::with(Face::ROOMY, width, height);
        if bars::fit(&larger) && !texts(report).all(|text| layout.face.has(text)) { larger } else { layout }
    }
}

#[cfg(test)]
mod tests;
