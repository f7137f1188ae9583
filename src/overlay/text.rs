//! Text that is legible at any frame size: bitmap fonts, enlarged by whole numbers, cut to the room there is.
//!
//! Latin, Greek and Cyrillic letters are those of the face's own fonts, and all else comes from the bitmaps in `glyphs.rs`.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, Point, Size};
use embedded_graphics::mono_font::{self, MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::PixelColor;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;

use super::glyphs::{self, Glyph, Place, ROWS};
use super::line::Line;
use crate::text::is_harmless;

/// Fonts of equal size and look, one for each part of ISO 8859.
type Charsets = [&'static MonoFont<'static>; 12];

macro_rules! charsets {
    ($name:ident) => {
        &[
            &mono_font::iso_8859_1::$name,
            &mono_font::iso_8859_2::$name,
            &mono_font::iso_8859_3::$name,
            &mono_font::iso_8859_4::$name,
            &mono_font::iso_8859_5::$name,
            &mono_font::iso_8859_7::$name,
            &mono_font::iso_8859_9::$name,
            &mono_font::iso_8859_10::$name,
            &mono_font::iso_8859_13::$name,
            &mono_font::iso_8859_14::$name,
            &mono_font::iso_8859_15::$name,
            &mono_font::iso_8859_16::$name,
        ]
    };
}

const FONT_5X8: &Charsets = charsets!(FONT_5X8);
const FONT_6X13: &Charsets = charsets!(FONT_6X13);
const FONT_7X14: &Charsets = charsets!(FONT_7X14);
const FONT_7X14_BOLD: &Charsets = charsets!(FONT_7X14_BOLD);
const FONT_9X15: &Charsets = charsets!(FONT_9X15);
const FONT_9X15_BOLD: &Charsets = charsets!(FONT_9X15_BOLD);
const FONT_9X18: &Charsets = charsets!(FONT_9X18);
const FONT_9X18_BOLD: &Charsets = charsets!(FONT_9X18_BOLD);

/// A pair of fonts of equal size, enlarged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    plain: &'static Charsets,
    bold: &'static Charsets,
    /// Pixels of the frame that a pixel of the font takes, across and down.
    pub(super) factor: u32,
}

/// How heavy letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Plain,
    Bold,
}

/// What a grapheme cluster is drawn with.
enum Part {
    /// A letter of the face's own fonts.
    Letter(&'static MonoFont<'static>, char),
    Bitmap(Glyph),
    /// Something for which there is no room.
    Box,
    /// What was cut off.
    Dots,
}

/// A cluster as it is drawn: its parts, each with its distance from the left, and its width, both in pixels of the frame.
struct Cell {
    parts: Vec<(i32, Part)>,
    width: u32,
}

impl Face {
    /// The smallest face beside whose letters there is room for all others.
    pub(super) const ROOMY: Self = Self { plain: FONT_6X13, bold: FONT_6X13, factor: 1 };

    /// The face for a frame of `width` by `height` pixels: about 26 lines of text fill it, but letters never get
    /// smaller than what can be read.
    pub(super) fn for_frame(width: u32, height: u32) -> Self {
        // A frame much taller than wide has to fit words too: what counts is the 4:3 frame that it contains.
        let line = height.min(width / 4 * 3) / 26;
        let face = |plain, bold, factor| Self { plain, bold, factor };
        match line {
            ..=3 => face(FONT_5X8, FONT_5X8, 1),
            // So narrow, bold letters touch: colour alone has to set the best class apart.
            4..=10 => Self::ROOMY,
            11..=14 => face(FONT_7X14, FONT_7X14_BOLD, 1),
            15..=17 => face(FONT_9X15, FONT_9X15_BOLD, 1),
            18..=25 => face(FONT_9X18, FONT_9X18_BOLD, 1),
            26..=35 => face(FONT_7X14, FONT_7X14_BOLD, 2),
            36.. => face(FONT_9X18, FONT_9X18_BOLD, line / 18),
        }
    }

    /// Pixels from one letter to the next.
    pub(super) fn advance(&self) -> u32 {
        self.plain[0].character_size.width * self.factor
    }

    /// Pixels from the top of the tallest letter to the bottom of the lowest.
    pub(super) fn height(&self) -> u32 {
        self.plain[0].character_size.height * self.factor
    }

    /// How many letters fit into `width` pixels.
    pub(super) fn letters_in(&self, width: u32) -> usize {
        (width / self.advance()) as usize
    }

    /// Whether the lines have room for letters that the face's own fonts lack, which are 16 pixels tall: they take up to two of the gap above
    /// the line, and one of that below.
    pub(super) fn is_roomy(&self) -> bool {
        self.height() + 3 * self.factor >= ROWS * self.factor
    }

    /// Whether its own fonts have all letters of `text`.
    pub(super) fn has(&self, text: &str) -> bool {
        let line = Line::new(text);
        let is_own = |part: &(i32, Part)| matches!(part.1, Part::Letter(..));
        (0..line.len()).all(|index| self.cell(line.cluster(index), Weight::Plain).parts.iter().all(is_own))
    }

    /// How many pixels wide `text` is.
    pub(super) fn width(&self, text: &str) -> u32 {
        let line = Line::new(text);
        (0..line.len()).map(|index| self.cell(line.cluster(index), Weight::Plain).width).sum()
    }

    /// Draws `text` with its top left corner at `at`, at most `room` pixels wide: what does not fit is cut, in front of a whole grapheme
    /// cluster, and its end then is three dots as wide as a letter.
    pub(super) fn draw<D: DrawTarget>(
        &self,
        target: &mut D,
        at: Point,
        text: &str,
        room: u32,
        weight: Weight,
        color: D::Color,
    ) -> Result<(), D::Error> {
        let line = Line::new(text);
        let (mut cells, mut used) = (Vec::new(), 0);
        while cells.len() < line.len() && used <= room {
            let cell = self.cell(line.cluster(cells.len()), weight);
            used += cell.width;
            cells.push(cell);
        }
        let cut = used > room;
        while cut && used + self.advance() > room {
            let Some(last) = cells.pop() else { return Ok(()) };
            used -= last.width;
        }
        let count = cells.len();
        cells.extend(cut.then(|| Cell { parts: vec![(0, Part::Dots)], width: self.advance() }));
        let mut left = at.x;
        for index in line.left_to_right(count, cut) {
            for (distance, part) in &cells[index].parts {
                self.draw_part(target, Point::new(left + distance, at.y), part, color)?;
            }
            left += cells[index].width as i32;
        }
        Ok(())
    }

    /// One of the face's own fonts that has `c`.
    fn font(&self, c: char, weight: Weight) -> Option<&'static MonoFont<'static>> {
        let fonts = if weight == Weight::Bold { self.bold } else { self.plain };
        // A font's index of what it lacks is that of the question mark.
        let has = |font: &&MonoFont| {
            c == '?' || is_harmless(c) && font.glyph_mapping.index(c) != font.glyph_mapping.index('?')
        };
        fonts.iter().copied().find(has)
    }

    /// How a cluster is drawn.
    fn cell(&self, mut cluster: impl Iterator<Item = char>, weight: Weight) -> Cell {
        let (Some(first), second) = (cluster.next(), cluster.next()) else {
            return Cell { parts: Vec::new(), width: 0 };
        };
        match (second, self.font(first, weight)) {
            (None, Some(font)) => Cell { parts: vec![(0, Part::Letter(font, first))], width: self.advance() },
            _ if self.is_roomy() => self.cell_of_bitmaps([first].into_iter().chain(second).chain(cluster)),
            _ => Cell { parts: vec![(0, Part::Box)], width: self.advance() },
        }
    }

    /// Bitmaps beside each other, and marks over what is before them.
    fn cell_of_bitmaps(&self, cluster: impl Iterator<Item = char>) -> Cell {
        let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
        for c in cluster {
            // What does something and is not seen has a code only, whatever the font shows.
            let glyph = glyphs::find(c).filter(|_| is_harmless(c)).unwrap_or_else(|| glyphs::code_box(c));
            let place = match glyph.place {
                Place::Cell(width) => {
                    start = end;
                    end += width as i32;
                    start
                }
                // A mark that stands alone has the cell of a letter.
                Place::OverEnd(_) | Place::OverStart if end == 0 => {
                    end = 8;
                    0
                }
                Place::OverEnd(origin) => end + origin,
                Place::OverStart => start,
            };
            parts.push((place * self.factor as i32, Part::Bitmap(glyph)));
        }
        Cell { parts, width: end as u32 * self.factor }
    }

    fn draw_part<D: DrawTarget>(
        &self,
        target: &mut D,
        at: Point,
        part: &Part,
        color: D::Color,
    ) -> Result<(), D::Error> {
        let mut enlarged = Enlarged { target, origin: at, factor: self.factor };
        match part {
            Part::Letter(font, c) => {
                let style = MonoTextStyle::new(font, color);
                style.draw_string(c.encode_utf8(&mut [0; 4]), Point::zero(), Baseline::Top, &mut enlarged)?;
            }
            Part::Bitmap(glyph) => {
                let above =
                    (self.plain[0].character_size.height as i32 - ROWS as i32).div_euclid(2) * self.factor as i32;
                // In the frame's first line the gap above is smaller.
                enlarged.origin.y = (at.y + above).max(0);
                for (y, row) in (0..).zip(glyph.rows) {
                    for x in (0..16).filter(|x| row << x & 0x8000 != 0) {
                        enlarged.fill_solid(&Rectangle::new(Point::new(x, y), Size::new(1, 1)), color)?;
                    }
                }
            }
            Part::Box => {
                let Size { width, height } = self.plain[0].character_size;
                for (x, y, width, height) in [
                    (0, 1, width - 1, 1),
                    (0, height as i32 - 2, width - 1, 1),
                    (0, 1, 1, height - 2),
                    (width as i32 - 2, 1, 1, height - 2),
                ] {
                    enlarged.fill_solid(&Rectangle::new(Point::new(x, y), Size::new(width, height)), color)?;
                }
            }
            Part::Dots => {
                let font = self.plain[0];
                let step = (font.character_size.width as i32 / 3).max(2);
                let size = Size::new(1, 1 + font.character_size.width / 9);
                for dot in 0..3 {
                    let corner = Point::new(dot * step, font.baseline as i32 + 1 - size.height as i32);
                    enlarged.fill_solid(&Rectangle::new(corner, size), color)?;
                }
            }
        }
        Ok(())
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

    const SMALL: Face = Face { plain: FONT_6X13, bold: FONT_6X13, factor: 1 };
    const LARGE: Face = Face { plain: FONT_9X18, bold: FONT_9X18_BOLD, factor: 1 };

    fn drawn(face: Face, text: &str, room: u32) -> MockDisplay<BinaryColor> {
        let mut display = MockDisplay::new();
        display.set_allow_overdraw(true);
        face.draw(&mut display, Point::new(0, 2), text, room, Weight::Plain, BinaryColor::On).unwrap();
        display
    }

    /// `width` pixels of rows `from..to` below the text's top.
    fn rows(display: &MockDisplay<BinaryColor>, rows: std::ops::Range<i32>, width: i32) -> Vec<String> {
        let mark = |x, y| if display.get_pixel(Point::new(x, y)).is_some() { '#' } else { ' ' };
        rows.map(|y| (0..width).map(|x| mark(x, y + 2)).collect()).collect()
    }

    /// All pixels of `width` columns.
    fn pixels(display: &MockDisplay<BinaryColor>, left: i32, width: i32) -> Vec<String> {
        rows(display, -2..18, left + width).into_iter().map(|row| row[left as usize..].to_owned()).collect()
    }

    #[test]
    fn text_is_drawn_and_cut_with_three_dots() {
        let cut = drawn(SMALL, "abc", 12);
        let expected = [" ###        ", "    #       ", " ####       ", "#   #       ", "#  ##       ", " ## # # # # "];
        assert_eq!(rows(&cut, 5..11, 12), expected);
        assert_eq!(pixels(&drawn(SMALL, "abc", 17), 0, 18), pixels(&cut, 0, 18));
        assert_ne!(pixels(&drawn(SMALL, "abc", 18), 0, 18), pixels(&cut, 0, 18));
    }

    #[test]
    fn enlarging_doubles_every_pixel() {
        let (one, two) = (drawn(SMALL, "g", 6), drawn(Face { factor: 2, ..SMALL }, "g", 12));
        for (x, y) in (0..26).flat_map(|y| (0..12).map(move |x| (x, y))) {
            let (small, large) = (Point::new(x / 2, y / 2 + 2), Point::new(x, y + 2));
            assert_eq!(two.get_pixel(large), one.get_pixel(small), "({x}, {y})");
        }
    }

    #[test]
    fn own_fonts_have_letters_of_several_scripts() {
        for text in ["Ärger über Öl", "Птица", "ψάρι", "łódź", "ő ž Ğ ş ŵ", "a\u{301}", "?"] {
            assert!(SMALL.has(text), "{text}");
            assert_eq!(SMALL.width(text) % 6, 0);
        }
        for text in ["猫", "عربي", "\u{1f431}", "x\u{302}", "\t"] {
            assert!(!SMALL.has(text), "{text}");
        }
        assert_ne!(pixels(&drawn(SMALL, "я", 6), 0, 6), pixels(&drawn(SMALL, "?", 6), 0, 6));
    }

    /// What the font has, pixel by pixel, centred in the line.
    #[cfg(feature = "unicode")]
    #[test]
    fn letters_of_other_scripts_are_the_fonts() {
        let cat = drawn(LARGE, "猫", 16);
        let font: Vec<String> = glyphs::find('猫')
            .unwrap()
            .rows
            .map(|row| format!("{row:016b}").replace('0', " ").replace('1', "#"))
            .to_vec();
        assert_eq!(rows(&cat, 1..17, 16), font);
        // In a line of 13 pixels it takes two of the gap above, and one of that below.
        assert_eq!(rows(&drawn(SMALL, "猫", 16), -2..14, 16), font);
    }

    #[cfg(feature = "unicode")]
    #[test]
    fn arabic_is_joined_and_written_to_the_left() {
        let word = drawn(LARGE, "عربي", 64);
        let mut left = 0;
        for form in ['\u{fef2}', '\u{fe91}', '\u{feae}', '\u{fecb}'] {
            let Glyph { rows: expected, place: Place::Cell(width) } = glyphs::find(form).unwrap() else { panic!() };
            let expected = expected
                .map(|row| format!("{row:016b}").replace('0', " ").replace('1', "#")[..width as usize].to_owned());
            let drawn = rows(&word, 1..17, left + width as i32);
            assert_eq!(
                drawn.iter().map(|row| row[left as usize..].to_owned()).collect::<Vec<_>>(),
                expected,
                "{form:?}"
            );
            left += width as i32;
        }
        assert_eq!(LARGE.width("عربي"), left as u32);
        // What is cut off stands at the left.
        let cut = rows(&drawn(LARGE, "عربي", 20), 0..18, 9);
        assert!(cut[..10].iter().all(|row| row.trim().is_empty()) && !cut[13].trim().is_empty(), "{cut:#?}");
    }

    #[cfg(feature = "unicode")]
    #[test]
    fn marks_take_no_room_and_are_not_cut_off() {
        assert_eq!([SMALL.width("x\u{302}"), SMALL.width("猫"), SMALL.width("👩\u{200d}🌾")], [8, 16, 32]);
        assert_eq!([SMALL.width("\u{302}"), SMALL.width("\u{200d}"), SMALL.width("\u{5e9}\u{5c1}")], [8, 0, 8]);
        let (with, without) = (drawn(LARGE, "x\u{302}ab", 20), drawn(LARGE, "xab", 20));
        assert_ne!(rows(&with, 0..6, 8), rows(&without, 0..6, 8), "the circumflex");
        // Two clusters do not fit beside the dots, and no part of the first is drawn without the rest.
        assert_eq!(pixels(&drawn(LARGE, "x\u{302}ab", 16), 0, 16), pixels(&drawn(LARGE, "...", 9), 0, 16));
    }

    #[test]
    fn what_no_font_has_is_a_box_with_its_code() {
        let drawn = drawn(LARGE, "\u{e123}\u{202e}\u{ad}", 36);
        let code = |c| {
            glyphs::code_box(c)
                .rows
                .map(|row| format!("{row:016b}").replace('0', " ").replace('1', "#")[..12].to_owned())
        };
        for (left, c) in [(0, '\u{e123}'), (12, '\u{202e}'), (24, '\u{ad}')] {
            let found = rows(&drawn, 1..17, left as i32 + 12).into_iter().map(|row| row[left..].to_owned());
            assert!(found.eq(code(c)), "{c:?}");
        }
    }

    #[test]
    fn lines_without_room_have_empty_boxes() {
        let tiny = Face::for_frame(64, 48);
        assert!(!tiny.is_roomy() && [Face::ROOMY, LARGE].iter().all(Face::is_roomy));
        let expected = ["     ", "#### ", "#  # ", "#  # ", "#  # ", "#  # ", "#### ", "     "];
        assert_eq!(rows(&drawn(tiny, "猫", 5), 0..8, 5), expected);
    }

    #[test]
    fn no_room_draws_nothing() {
        drawn(SMALL, "abc", 5).assert_eq(&MockDisplay::new());
        drawn(SMALL, "", 54).assert_eq(&MockDisplay::new());
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
