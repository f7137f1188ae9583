//! A picture as large as a screen can show it, turned as the screen is mounted.

use super::Layout;
use crate::error::Result;
use crate::frame::RgbImage;
use crate::picture::resize::{Filter, Part, Resizer};

/// How far pictures are turned, clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    None,
    Quarter,
    Half,
    ThreeQuarters,
}

impl Rotation {
    /// From degrees: 0, 90, 180 or 270.
    pub(super) fn from_degrees(degrees: &str) -> Option<Self> {
        match degrees {
            "0" => Some(Self::None),
            "90" => Some(Self::Quarter),
            "180" => Some(Self::Half),
            "270" => Some(Self::ThreeQuarters),
            _ => None,
        }
    }

    fn swaps_sides(self) -> bool {
        matches!(self, Self::Quarter | Self::ThreeQuarters)
    }

    /// Where in a picture of `width` x `height` the first pixel of the turned picture's row `y` is, and how far it is from each
    /// to the next.
    fn row(self, y: usize, width: usize, height: usize) -> (usize, isize) {
        match self {
            Self::None => (y * width, 1),
            Self::Quarter => ((height - 1) * width + y, -(width as isize)),
            Self::Half => ((height - y) * width - 1, -1),
            Self::ThreeQuarters => (width - 1 - y, width as isize),
        }
    }
}

/// Scales, turns and places pictures.
#[derive(Debug)]
pub(super) struct Fitter {
    rotation: Rotation,
    resizer: Resizer,
    /// Width and height of the picture drawn last, in pixels.
    size: (u32, u32),
    /// The scaled picture, packed RGB, kept for its memory.
    scaled: Vec<u8>,
}

impl Fitter {
    pub(super) fn new(rotation: Rotation) -> Self {
        Self { rotation, resizer: Resizer::default(), size: (0, 0), scaled: Vec::new() }
    }

    /// The size at which a picture of this one is drawn, before it is turned.
    pub(super) fn size_of(&self, (width, height): (u32, u32), layout: &Layout) -> (u32, u32) {
        let (across, down) = match self.rotation.swaps_sides() {
            true => (layout.height, layout.width),
            false => (layout.width, layout.height),
        };
        fit(width, height, across, down)
    }

    /// Draws `picture` on a screen's contents.
    pub(super) fn draw(&mut self, picture: &RgbImage, layout: &Layout, contents: &mut [u8]) -> Result<()> {
        let (width, height) = self.size_of((picture.width, picture.height), layout);
        if self.size != (width, height) {
            self.size = (width, height);
            // Another size leaves another border.
            contents.fill(layout.format.black());
        }
        self.resizer.resize(Part::whole(picture), Filter::Bilinear, (width, height), &mut self.scaled)?;
        let pixels = self.scaled.as_chunks::<3>().0;
        let (width, height) = (width as usize, height as usize);
        let (columns, rows) = if self.rotation.swaps_sides() { (height, width) } else { (width, height) };
        let (left, top) = ((layout.width as usize - columns) / 2, (layout.height as usize - rows) / 2);
        for y in 0..rows {
            let (first, step) = self.rotation.row(y, width, height);
            let row = &mut contents[(top + y) * layout.stride..][..layout.stride];
            let pixel = |x: usize| pixels[first.wrapping_add_signed(x as isize * step)];
            layout.format.write(row, (left, top + y), columns, pixel);
        }
        Ok(())
    }
}

/// The largest size of a picture's shape that fits.
fn fit(width: u32, height: u32, across: u32, down: u32) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (across, down) = (u64::from(across), u64::from(down));
    let (w, h) = match across * height <= down * width {
        true => (across, (across * height + width / 2) / width),
        false => ((down * width + height / 2) / height, down),
    };
    (w.clamp(1, across) as u32, h.clamp(1, down) as u32)
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::pixels::PixelFormat;
    use super::*;

    #[test]
    fn the_largest_that_fits() {
        for (picture, screen, expected) in [
            ((640, 480), (640, 480), (640, 480)),
            ((640, 360), (1280, 800), (1280, 720)),
            ((640, 480), (1280, 720), (960, 720)),
            ((1920, 1080), (320, 240), (320, 180)),
            ((1, 1000), (10, 100), (1, 100)),
            ((10_000, 1), (100, 10), (100, 1)),
        ] {
            assert_eq!(fit(picture.0, picture.1, screen.0, screen.1), expected, "{picture:?} on {screen:?}");
        }
    }

    /// A picture of two rows of three, each pixel another.
    fn letters() -> RgbImage {
        RgbImage::new(3, 2, b"abcdef".iter().flat_map(|letter| [*letter; 3]).collect())
    }

    /// What a screen shows, a letter for each pixel and a dot where it is black.
    fn shown(rotation: Rotation, width: u32, height: u32) -> Vec<String> {
        let layout =
            Layout { width, height, stride: 4 * width as usize + 8, format: Format::Colours(PixelFormat::XRGB8888) };
        let mut contents = vec![0; layout.stride * height as usize];
        Fitter::new(rotation).draw(&letters(), &layout, &mut contents).unwrap();
        let letter = |pixel: &[u8]| if pixel[0] == 0 { '.' } else { char::from(pixel[0]) };
        let row = |row: &[u8]| row[..4 * width as usize].chunks(4).map(letter).collect();
        assert!(contents.chunks(layout.stride).all(|row| row[4 * width as usize..] == [0; 8]));
        contents.chunks(layout.stride).map(row).collect()
    }

    #[test]
    fn pictures_are_turned_clockwise() {
        assert_eq!(shown(Rotation::None, 3, 2), ["abc", "def"]);
        assert_eq!(shown(Rotation::Quarter, 2, 3), ["da", "eb", "fc"]);
        assert_eq!(shown(Rotation::Half, 3, 2), ["fed", "cba"]);
        assert_eq!(shown(Rotation::ThreeQuarters, 2, 3), ["cf", "be", "ad"]);
    }

    #[test]
    fn they_are_in_the_middle() {
        assert_eq!(shown(Rotation::None, 3, 4), ["...", "abc", "def", "..."]);
        assert_eq!(shown(Rotation::Quarter, 4, 3), [".da.", ".eb.", ".fc."]);
    }

    #[test]
    fn a_picture_of_another_size_leaves_nothing_of_the_one_before() {
        let layout = Layout { width: 6, height: 4, stride: 12, format: Format::Colours(PixelFormat::RGB565) };
        let (mut fitter, mut contents) = (Fitter::new(Rotation::None), vec![0; 48]);
        fitter.draw(&RgbImage::filled(6, 4, [255; 3]), &layout, &mut contents).unwrap();
        assert!(contents.iter().all(|byte| *byte == 255));
        fitter.draw(&RgbImage::filled(4, 4, [255; 3]), &layout, &mut contents).unwrap();
        assert_eq!(contents[..12], [0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0]);
    }
}
