//! Changed views of a picture: what a camera would have seen a moment earlier, from elsewhere, in another light.

use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use crate::frame::RgbImage;

/// The least share of both sides that a view keeps.
const LEAST_CROP: f32 = 0.8;
/// By how much a view may be brighter or darker: a factor, and steps of 255.
const GAIN: f32 = 0.3;
const OFFSET: f32 = 25.0;
/// One view of so many is blurred.
const BLURRED: usize = 4;
/// A blur's window, as a part of the shorter side.
const BLUR: u32 = 32;

/// View `number` of a picture, from 1; the same each time. `seed` is the picture's own.
pub(super) fn view(image: &RgbImage, seed: u64, number: usize, flip: bool) -> RgbImage {
    let mut random = Pcg64::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let mut between = |low: f32, high: f32| match Uniform::new_inclusive(low, high) {
        Ok(range) => range.sample(&mut random),
        Err(_) => low,
    };
    let share = between(LEAST_CROP, 1.0);
    let side = |whole: u32| ((whole as f32 * share).round() as u32).clamp(1, whole.max(1));
    let (width, height) = (side(image.width), side(image.height));
    let at = |room: u32, share: f32| (room as f32 * share).round() as u32;
    let left = at(image.width - width, between(0.0, 1.0));
    let top = at(image.height - height, between(0.0, 1.0));
    let (gain, offset) = (1.0 + between(-GAIN, GAIN), between(-OFFSET, OFFSET));
    let mirrored = flip && between(0.0, 1.0) < 0.5;
    let blurred = number.is_multiple_of(BLURRED);
    let light: [u8; 256] = std::array::from_fn(|value| (value as f32 * gain + offset).clamp(0.0, 255.0) as u8);
    let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
    for y in top..top + height {
        for x in 0..width {
            let x = left + if mirrored { width - 1 - x } else { x };
            pixels.extend(image.pixel(x, y).map(|value| light[value as usize]));
        }
    }
    let view = RgbImage::new(width, height, pixels);
    if blurred { blur(&view, width.min(height).div_ceil(BLUR)) } else { view }
}

/// The mean over a window of `2 * radius + 1` pixels along rows and then columns; beyond the edge the picture goes on as it ends.
fn blur(image: &RgbImage, radius: u32) -> RgbImage {
    let rows = along(image, radius, |image, x, y| image.pixel(x, y), false);
    along(&rows, radius, |image, x, y| image.pixel(x, y), true)
}

fn along(image: &RgbImage, radius: u32, pixel: impl Fn(&RgbImage, u32, u32) -> [u8; 3], down: bool) -> RgbImage {
    let mut pixels = Vec::with_capacity(image.pixels.len());
    let last = if down { image.height } else { image.width }.saturating_sub(1);
    for y in 0..image.height {
        for x in 0..image.width {
            let at = if down { y } else { x };
            let mut sums = [0_u32; 3];
            for offset in 0..=2 * radius {
                let near = (at + offset).saturating_sub(radius).min(last);
                let found = if down { pixel(image, x, near) } else { pixel(image, near, y) };
                sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += u32::from(value));
            }
            pixels.extend(sums.map(|sum| (sum / (2 * radius + 1)) as u8));
        }
    }
    RgbImage::new(image.width, image.height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 100])).collect();
        RgbImage::new(width, height, pixels)
    }

    #[test]
    fn views_are_parts_of_the_picture_and_the_same_each_time() {
        let image = gradient(60, 40);
        for number in 1..12 {
            let seen = view(&image, 7, number, number % 2 == 0);
            assert!((48..=60).contains(&seen.width) && (32..=40).contains(&seen.height));
            assert_eq!(seen.pixels, view(&image, 7, number, number % 2 == 0).pixels);
            assert_ne!(seen.pixels, view(&image, 8, number, number % 2 == 0).pixels);
        }
    }

    #[test]
    fn pictures_of_a_pixel_have_views_too() {
        for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 3)] {
            for number in 1..6 {
                let seen = view(&gradient(width, height), 1, number, true);
                assert!(seen.width >= 1 && seen.height >= 1);
            }
        }
    }

    #[test]
    fn a_blur_keeps_what_is_even_and_spreads_a_point() {
        let even = RgbImage::filled(9, 7, [10, 20, 30]);
        assert_eq!(blur(&even, 2).pixels, even.pixels);
        let mut point = RgbImage::filled(5, 5, [0; 3]);
        point.pixels[3 * 12] = 90;
        let spread = blur(&point, 1);
        assert_eq!((spread.pixel(2, 2)[0], spread.pixel(1, 1)[0], spread.pixel(0, 0)[0]), (10, 10, 0));
    }
}
