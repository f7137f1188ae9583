//! Text that is legible at any frame size: bitmap fonts, enlarged by whole numbers, cut to the room there is.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1 as fonts;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::PixelColor;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;

/// A pair of fonts of equal size, enlarged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    plain: &'static MonoFont<'static>,
    bold: &'static MonoFont<'static>,
    /// Pixels of the frame that a pixel of the font takes, across and down.
    pub(super) factor: u32,
}

/// How heavy letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Plain,
    Bold,
}

impl Face {
    /// The face for a frame of `width` by `height` pixels: about 26 lines of text fill it, but letters never get
    /// smaller than what can be read.
    pub(super) fn for_frame(width: u32, height: u32) -> Self {
        // A frame much taller than wide has to fit words too: what counts is the 4:3 frame that it contains.
        let line = height.min(width / 4 * 3) / 26;
        let face = |plain, bold, factor| Self { plain, bold, factor };
        match line {
            ..=3 => face(&fonts::FONT_5X8, &fonts::FONT_5X8, 1),
            // So narrow, bold letters touch: colour alone has to set the best class apart.
            4..=10 => face(&fonts::FONT_6X13, &fonts::FONT_6X13, 1),
            11..=14 => face(&fonts::FONT_7X14, &fonts::FONT_7X14_BOLD, 1),
            15..=17 => face(&fonts::FONT_9X15, &fonts::FONT_9X15_BOLD, 1),
            18..=25 => face(&fonts::FONT_9X18, &fonts::FONT_9X18_BOLD, 1),
            26..=35 => face(&fonts::FONT_7X14, &fonts::FONT_7X14_BOLD, 2),
            36.. => face(&fonts::FONT_9X18, &fonts::FONT_9X18_BOLD, line / 18),
        }
    }

    /// Pixels from one letter to the next.
    pub(super) fn advance(&self) -> u32 {
        self.plain.character_size.width * self.factor
    }

    /// Pixels from the top of the tallest letter to the bottom of the lowest.
    pub(super) fn height(&self) -> u32 {
        self.plain.character_size.height * self.factor
    }

    /// How many letters fit into `width` pixels.
    pub(super) fn letters_in(&self, width: u32) -> usize {
        (width / self.advance()) as usize
    }

    /// Draws `text` with its top left corner at `at`, in at most `letters` letters: what does not fit is cut, and
    /// the last place then holds three dots. Characters that the fonts lack (beyond Latin-1) become `?`.
    pub(super) fn draw<D: DrawTarget>(
        &self,
        target: &mut D,
        at: Point,
        text: &str,
        letters: usize,
        weight: Weight,
        color: D::Color,
    ) -> Result<(), D::Error> {
        let font = if weight == Weight::Bold { self.bold } else { self.plain };
        let mut shown: String = text.chars().take(letters).map(printable).collect();
        let cut = text.chars().nth(letters).is_some() && shown.pop().is_some();
        let mut enlarged = Enlarged { target, origin: at, factor: self.factor };
        let style = MonoTextStyle::new(font, color);
        let end = style.draw_string(&shown, Point::zero(), Baseline::Top, &mut enlarged)?;
        if cut {
            let (step, size) =
                ((font.character_size.width as i32 / 3).max(2), Size::new(1, 1 + font.character_size.width / 9));
            for dot in 0..3 {
                let corner = Point::new(end.x + dot * step, font.baseline as i32 + 1 - size.height as i32);
                enlarged.fill_solid(&Rectangle::new(corner, size), color)?;
            }
        }
        Ok(())
    }
}

/// The character as the fonts can show it.
fn printable(c: char) -> char {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => c,
        _ => '?',
    }
}

/// A target seen through a magnifying glass: each pixel drawn becomes a square.
struct Enlarged<'a, D> {
    target: &'a mut D,
    origin: Point,
    factor: u32,
}

impl<D: DrawTarget> Dimensions for Enlarged<'_, D> {
    fn bounding_box(&self) -> Rectangle {
        let inner = self.target.bounding_box();
        Rectangle::new((inner.top_left - self.origin) / self.factor as i32, inner.size / self.factor)
    }
}

impl<D: DrawTarget<Color = C>, C: PixelColor> DrawTarget for Enlarged<'_, D> {
    type Color = C;
    type Error = D::Error;

    fn draw_iter<I: IntoIterator<Item = Pixel<C>>>(&mut self, pixels: I) -> Result<(), D::Error> {
        pixels.into_iter().try_for_each(|Pixel(at, color)| self.fill_solid(&Rectangle::new(at, Size::new(1, 1)), color))
    }

    fn fill_solid(&mut self, area: &Rectangle, color: C) -> Result<(), D::Error> {
        let corner = self.origin + area.top_left * self.factor as i32;
        self.target.fill_solid(&Rectangle::new(corner, area.size * self.factor), color)
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::mock_display::MockDisplay;
    use embedded_graphics::pixelcolor::BinaryColor;

    use super::*;

    const SMALL: Face = Face { plain: &fonts::FONT_6X13, bold: &fonts::FONT_6X13_BOLD, factor: 1 };

    fn drawn(face: Face, text: &str, letters: usize) -> MockDisplay<BinaryColor> {
        let mut display = MockDisplay::new();
        display.set_allow_overdraw(true);
        face.draw(&mut display, Point::zero(), text, letters, Weight::Plain, BinaryColor::On).unwrap();
        display
    }

    #[test]
    fn text_is_drawn_and_cut_with_three_dots() {
        let cut = drawn(SMALL, "abc", 2);
        let rows: Vec<String> = (5..11).map(|y| row(&cut, y, 12)).collect();
        let expected = [" ###        ", "    #       ", " ####       ", "#   #       ", "#  ##       ", " ## # # # # "];
        assert_eq!(rows, expected);
    }

    fn row(display: &MockDisplay<BinaryColor>, y: i32, width: i32) -> String {
        (0..width).map(|x| if display.get_pixel(Point::new(x, y)).is_some() { '#' } else { ' ' }).collect()
    }

    #[test]
    fn enlarging_doubles_every_pixel() {
        let (one, two) = (drawn(SMALL, "g", 1), drawn(Face { factor: 2, ..SMALL }, "g", 1));
        for (x, y) in (0..26).flat_map(|y| (0..12).map(move |x| (x, y))) {
            assert_eq!(two.get_pixel(Point::new(x, y)), one.get_pixel(Point::new(x / 2, y / 2)), "({x}, {y})");
        }
    }

    #[test]
    fn characters_that_fonts_lack_become_question_marks() {
        drawn(SMALL, "é\u{3b1}\u{1f408}\n", 4).assert_eq(&drawn(SMALL, "é???", 4));
        assert!(drawn(SMALL, "é", 1) != drawn(SMALL, "?", 1));
    }

    #[test]
    fn no_room_draws_nothing() {
        drawn(SMALL, "abc", 0).assert_eq(&MockDisplay::new());
        drawn(SMALL, "", 9).assert_eq(&MockDisplay::new());
    }

    #[test]
    fn letters_grow_with_the_frame() {
        let size = |width, height| {
            let face = Face::for_frame(width, height);
            (face.advance(), face.height())
        };
        assert_eq!(size(32, 32), (5, 8));
        assert_eq!(size(320, 240), (6, 13));
        assert_eq!(size(480, 320), (7, 14));
        assert_eq!(size(640, 480), (9, 18));
        assert_eq!(size(1280, 720), (14, 28));
        assert_eq!(size(1920, 1080), (18, 36));
        assert_eq!(size(3840, 2160), (36, 72));
        assert_eq!(size(10, 4000), (5, 8));
        assert_eq!(size(u32::MAX, 1), (5, 8));
    }
}
