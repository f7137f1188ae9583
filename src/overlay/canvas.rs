//! A picture as a drawing surface for `embedded-graphics`.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;

use crate::frame::RgbImage;

/// An [`RgbImage`] to draw on. What lies outside of the picture is left out.
#[derive(Debug)]
pub struct Canvas<'a> {
    image: &'a mut RgbImage,
}

impl<'a> Canvas<'a> {
    /// A canvas over the whole of `image`.
    pub fn new(image: &'a mut RgbImage) -> Self {
        Self { image }
    }

    /// Mixes `color` into an area: `opacity` 0 leaves the picture as it is, 255 covers it.
    pub fn shade(&mut self, area: &Rectangle, color: Rgb888, opacity: u8) {
        let kept = 255 - u32::from(opacity);
        // One table a channel: two look-ups and no arithmetic for each of many pixels.
        let mixed = channels(color).map(|c| {
            std::array::from_fn::<u8, 256, _>(|old| {
                ((old as u32 * kept + u32::from(c) * u32::from(opacity) + 127) / 255) as u8
            })
        });
        self.for_rows(area, |row| {
            for pixel in row.chunks_exact_mut(3) {
                for (value, table) in pixel.iter_mut().zip(&mixed) {
                    *value = table[usize::from(*value)];
                }
            }
        });
    }

    /// Calls `paint` with the bytes of each row of the part of `area` that lies on the picture.
    fn for_rows(&mut self, area: &Rectangle, mut paint: impl FnMut(&mut [u8])) {
        // In 64 bits, where no corner overflows.
        let clip = |start: i32, length: u32, end: u32| {
            let [from, to] = [0, i64::from(length)].map(|offset| (i64::from(start) + offset).clamp(0, end.into()));
            (from as usize, (to - from) as usize)
        };
        let (left, columns) = clip(area.top_left.x, area.size.width, self.image.width);
        let (top, rows) = clip(area.top_left.y, area.size.height, self.image.height);
        if columns == 0 || rows == 0 {
            return;
        }
        let stride = self.image.width as usize * 3;
        for row in self.image.pixels.chunks_exact_mut(stride).skip(top).take(rows) {
            paint(&mut row[left * 3..(left + columns) * 3]);
        }
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.image.width, self.image.height)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let (width, height) = (self.image.width, self.image.height);
        for Pixel(Point { x, y }, color) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
            if x < width && y < height {
                let at = (y as usize * width as usize + x as usize) * 3;
                self.image.pixels[at..at + 3].copy_from_slice(&channels(color));
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let color = channels(color);
        self.for_rows(area, |row| row.as_chunks_mut().0.fill(color));
        Ok(())
    }
}

/// Red, green and blue of a colour, in the order of a picture's bytes.
fn channels(color: Rgb888) -> [u8; 3] {
    [color.r(), color.g(), color.b()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Rgb888 = Rgb888::RED;

    fn area(x: i32, y: i32, width: u32, height: u32) -> Rectangle {
        Rectangle::new(Point::new(x, y), Size::new(width, height))
    }

    /// The picture with `#` where it is not black.
    fn ascii(image: &RgbImage) -> Vec<String> {
        let mark = |x, y| if image.pixel(x, y) == [0; 3] { '.' } else { '#' };
        (0..image.height).map(|y| (0..image.width).map(|x| mark(x, y)).collect()).collect()
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let mut image = RgbImage::filled(5, 3, [0; 3]);
        let mut canvas = Canvas::new(&mut image);
        canvas.fill_solid(&area(-2, -1, 4, 3), RED).unwrap();
        canvas.fill_solid(&area(4, 2, u32::MAX, 9), RED).unwrap();
        canvas.fill_solid(&area(9, 9, 2, 2), RED).unwrap();
        let far = [(-1, 0), (0, -1), (5, 0), (0, 3), (i32::MIN, i32::MAX), (3, 0)];
        canvas.draw_iter(far.map(|(x, y)| Pixel(Point::new(x, y), RED))).unwrap();
        assert_eq!(ascii(&image), ["##.#.", "##...", "....#"]);
    }

    #[test]
    fn shading_mixes_and_fully_opaque_covers() {
        let mut image = RgbImage::filled(2, 1, [200, 100, 0]);
        let mut canvas = Canvas::new(&mut image);
        canvas.shade(&area(0, 0, 1, 1), Rgb888::new(0, 0, 255), 51);
        canvas.shade(&area(1, 0, 1, 1), Rgb888::new(1, 2, 3), 255);
        assert_eq!(image.pixels, [160, 80, 51, 1, 2, 3]);
        Canvas::new(&mut image).shade(&area(0, 0, 2, 1), RED, 0);
        assert_eq!(image.pixels, [160, 80, 51, 1, 2, 3]);
    }

    #[test]
    fn an_empty_picture_takes_anything() {
        let mut image = RgbImage::filled(0, 7, [0; 3]);
        let mut canvas = Canvas::new(&mut image);
        canvas.fill_solid(&area(0, 0, 3, 3), RED).unwrap();
        canvas.shade(&area(0, 0, 3, 3), RED, 9);
    }
}
