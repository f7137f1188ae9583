//! A heat map over a picture: what speaks for the class shines, the more the brighter; all else stays as it is.

use crate::frame::{Area, RgbImage};
use crate::prediction::HeatMap;

/// Colours from little to the most, evenly spaced.
const COLOURS: [[u8; 3]; 5] = [[20, 11, 70], [120, 28, 109], [214, 68, 70], [251, 155, 6], [252, 240, 120]];
/// How much the most covers of the picture, of 255; what is less covers less in proportion.
const OPACITY: f32 = 200.0;

/// A colour, and how much it covers of the picture, 0 to 255.
type Shade = ([u8; 3], u8);

/// Draws `heat` on the part of `area` that it covers. Values are relative to the greatest one; where none is above 0 nothing is drawn.
///
/// # Panics
/// If the map's values are not as many as its rows and columns say.
pub fn draw_heat(image: &mut RgbImage, area: Area, heat: &HeatMap) {
    assert_eq!(heat.values.len(), heat.width * heat.height, "values of the heat map");
    let most = heat.values.iter().copied().fold(0.0, f32::max);
    if !(most > 0.0 && most.is_finite() && area.is_inside(image.width, image.height)) {
        return;
    }
    let shades: [Shade; 256] = std::array::from_fn(|level| shade(level as f32 / 255.0));
    let [left, top, width, height] = heat.place;
    let columns = taps(area.left..area.left + area.width, left, width, heat.width);
    let rows = taps(area.top..area.top + area.height, top, height, heat.height);
    let stride = image.width as usize * 3;
    for (y, (up, down, below)) in rows {
        let (up, down) = (&heat.values[up * heat.width..], &heat.values[down * heat.width..]);
        for &(x, (before, after, right)) in &columns {
            let [above, under] = [up, down].map(|row| row[before] + (row[after] - row[before]) * right);
            let level = (above + (under - above) * below) / most * 255.0;
            // What speaks against the class becomes 0 by the cast.
            let (colour, opacity) = shades[usize::from(level as u8)];
            let pixel = &mut image.pixels[y as usize * stride + x as usize * 3..][..3];
            for (value, colour) in pixel.iter_mut().zip(colour) {
                let mixed = u32::from(*value) * (255 - u32::from(opacity)) + u32::from(colour) * u32::from(opacity);
                *value = ((mixed + 127) / 255) as u8;
            }
        }
    }
}

/// For each pixel of a side that the map covers the two values of the map that are nearest, and how much the second counts. The map's first
/// value is in the middle of the first of `count` parts of what it covers, from `start` on for `length` pixels.
fn taps(pixels: std::ops::Range<u32>, start: f32, length: f32, count: usize) -> Vec<(u32, (usize, usize, f32))> {
    let tap = |pixel: u32| {
        let place = (pixel as f32 + 0.5 - start) / length;
        let at = (place * count as f32 - 0.5).clamp(0.0, (count - 1) as f32);
        let first = at as usize;
        (0.0..1.0).contains(&place).then(|| (pixel, (first, (first + 1).min(count - 1), at - first as f32)))
    };
    pixels.filter_map(tap).collect()
}

/// How `level`, 0 to 1, is shown.
fn shade(level: f32) -> Shade {
    let at = level * (COLOURS.len() - 1) as f32;
    let first = (at as usize).min(COLOURS.len() - 2);
    let colour = std::array::from_fn(|channel| {
        let [from, to] = [first, first + 1].map(|number| f32::from(COLOURS[number][channel]));
        (from + (to - from) * (at - first as f32)).round() as u8
    });
    (colour, (OPACITY * level).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heat(place: [f32; 4], width: usize, values: &[f32]) -> HeatMap {
        HeatMap { class: 3, place, width, height: values.len() / width, values: values.to_vec() }
    }

    fn drawn(size: (u32, u32), area: Area, heat: &HeatMap) -> RgbImage {
        let mut image = RgbImage::filled(size.0, size.1, [100; 3]);
        draw_heat(&mut image, area, heat);
        image
    }

    #[test]
    fn what_speaks_for_the_class_shines() {
        let area = Area { left: 0, top: 0, width: 4, height: 2 };
        let image = drawn((4, 2), area, &heat([0.0, 0.0, 4.0, 2.0], 2, &[0.0, 4.0, -4.0, 1.0]));
        // The corners have the map's own values, and what is between them is between.
        let expected = [
            [100, 100, 100],
            [104, 86, 102],
            [189, 132, 45],
            [219, 210, 116],
            [100, 100, 100],
            [100, 100, 100],
            [100, 100, 100],
            [104, 86, 102],
        ];
        assert_eq!(image.pixels.as_chunks::<3>().0, expected);
    }

    #[test]
    fn only_what_is_covered_and_in_the_area_is_touched() {
        let area = Area { left: 2, top: 1, width: 5, height: 6 };
        let image = drawn((9, 8), area, &heat([3.0, -4.0, 20.0, 8.0], 1, &[2.0]));
        for (x, y) in (0..8).flat_map(|y| (0..9).map(move |x| (x, y))) {
            let covered = (3..7).contains(&x) && (1..4).contains(&y);
            assert_eq!(image.pixel(x, y) != [100; 3], covered, "({x}, {y})");
        }
    }

    #[test]
    fn a_map_that_speaks_for_nothing_is_not_drawn() {
        let area = Area { left: 0, top: 0, width: 3, height: 3 };
        for values in [[0.0, -1.0], [-3.0, -2.0], [f32::NAN, f32::NAN], [1.0, f32::INFINITY]] {
            let image = drawn((3, 3), area, &heat([0.0, 0.0, 3.0, 3.0], 2, &values));
            assert!(image.pixels.iter().all(|value| *value == 100), "{values:?}");
        }
        let outside = Area { left: 1, ..area };
        let image = drawn((3, 3), outside, &heat([0.0, 0.0, 3.0, 3.0], 1, &[1.0]));
        assert!(image.pixels.iter().all(|value| *value == 100));
    }

    #[test]
    fn a_map_is_scaled_with_its_picture() {
        let mut map = heat([10.0, -20.0, 100.0, 300.0], 1, &[1.0]);
        map.scale((640, 480), (320, 120));
        assert_eq!(map.place, [5.0, -5.0, 50.0, 75.0]);
    }
}
