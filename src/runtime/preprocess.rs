//! A picture becomes the network's input.

use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Area, RgbImage};
use crate::model::{ChannelOrder, Interpolation, Preprocessing, ResizeKind};
use crate::picture::resize::{Filter, Part, Pixels, Resizer};

/// Resizes and normalizes pictures for one network. Keeps its buffers from picture to picture.
pub struct Preprocessor {
    how: Preprocessing,
    channels: usize,
    height: u32,
    width: u32,
    resizer: Resizer,
    /// The luma of a picture, for a network of one channel.
    gray: Vec<u8>,
    /// The scaled picture, where it fills a part of the input only.
    scaled: Vec<u8>,
    /// The resized picture, packed: RGB, or luma alone.
    resized: Vec<u8>,
    /// For each plane what each pixel value becomes.
    normalized: [[f32; 256]; 3],
}

/// Which part of a picture lands on which part of the input.
#[derive(Debug, PartialEq)]
struct Placement {
    /// Left, top, width, height in the picture's pixels.
    source: [f64; 4],
    /// Left, top, width, height in the input's pixels.
    target: [u32; 4],
}

impl Preprocessor {
    /// For inputs of `channels` (3, or 1 for luma), `height` and `width` pixels.
    ///
    /// # Panics
    /// For another number of channels.
    pub fn new(how: Preprocessing, [channels, height, width]: [usize; 3]) -> Self {
        assert!([1, 3].contains(&channels), "colours or luma, not {channels} channels");
        let plane = |c: usize| std::array::from_fn(|v| (v as f32 * how.scale - how.mean[c]) / how.std[c]);
        let normalized = [plane(0), plane(1), plane(2)];
        let resized = vec![0; channels * height * width];
        let (height, width) = (height as u32, width as u32);
        Self {
            how,
            channels,
            height,
            width,
            resizer: Resizer::default(),
            gray: Vec::new(),
            scaled: Vec::new(),
            resized,
            normalized,
        }
    }

    /// Resizes `image` and writes it as planes (NCHW) to `input`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a picture without pixels.
    ///
    /// # Panics
    /// If `input` is not channels * height * width long.
    pub fn run(&mut self, image: &RgbImage, input: &mut [f32]) -> Result<()> {
        self.run_area(image, image.area(), input)
    }

    /// As [`run`](Self::run), of a part of the picture as if it were all there is.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a part without pixels, or not inside the picture.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn run_area(&mut self, image: &RgbImage, part: Area, input: &mut [f32]) -> Result<()> {
        self.resize_area(image, part)?;
        let area = self.height as usize * self.width as usize;
        assert_eq!(input.len(), self.channels * area, "{} planes of {}x{}", self.channels, self.width, self.height);
        for (c, (plane, table)) in input.chunks_exact_mut(area).zip(&self.normalized).enumerate() {
            let rgb = self.channels == 1 || self.how.channels == ChannelOrder::Rgb;
            let channel = if rgb { c } else { 2 - c };
            for (value, pixel) in plane.iter_mut().zip(self.resized.chunks_exact(self.channels)) {
                *value = table[pixel[channel] as usize];
            }
        }
        Ok(())
    }

    /// The resized picture as the network is to see it, before normalization: packed RGB, or luma.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a picture without pixels.
    pub fn resize(&mut self, image: &RgbImage) -> Result<&[u8]> {
        self.resize_area(image, image.area())
    }

    fn resize_area(&mut self, image: &RgbImage, area: Area) -> Result<&[u8]> {
        if image.width == 0 || image.height == 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a picture of {}x{} has no pixels", image.width, image.height),
            ));
        }
        if !area.is_inside(image.width, image.height) {
            let message = format!("{area} is not inside a picture of {}x{}", image.width, image.height);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let Placement { source: part, target: [left, top, width, height] } = self.place(area.width, area.height);
        let from = match self.channels {
            1 => {
                take_luma(image, area, &mut self.gray);
                let size = (area.width, area.height);
                Part { pixels: Pixels::Luma(&self.gray), size, area: Area { left: 0, top: 0, ..area }, part }
            }
            _ => Part { pixels: Pixels::Rgb(&image.pixels), size: (image.width, image.height), area, part },
        };
        let filter = match self.how.interpolation {
            Interpolation::Nearest => Filter::Nearest,
            Interpolation::Bilinear => Filter::Bilinear,
            Interpolation::Bicubic => Filter::Bicubic,
            Interpolation::Lanczos => Filter::Lanczos,
        };
        if (width, height) == (self.width, self.height) {
            self.resizer.resize(from, filter, (width, height), &mut self.resized)?;
        } else {
            self.resizer.resize(from, filter, (width, height), &mut self.scaled)?;
            let each = self.channels;
            let (luma, rgb) = ([luma(self.how.pad)], self.how.pad);
            let pad = if each == 1 { &luma[..] } else { &rgb };
            self.resized.chunks_exact_mut(each).for_each(|pixel| pixel.copy_from_slice(pad));
            let (left, row) = (left as usize * each, width as usize * each);
            let rows = self.resized.chunks_exact_mut(self.width as usize * each).skip(top as usize);
            for (into, from) in rows.zip(self.scaled.chunks_exact(row)) {
                into[left..left + row].copy_from_slice(from);
            }
        }
        Ok(&self.resized)
    }

    /// Left, top, width and height of what the whole input shows of a picture of which `area` is taken, in its pixels: less than the area
    /// where that is cut, more where the input has a border.
    pub fn reach(&self, area: Area) -> [f32; 4] {
        let Placement { source: [sx, sy, sw, sh], target: [left, top, width, height] } =
            self.place(area.width, area.height);
        let (across, down) = (sw / f64::from(width), sh / f64::from(height));
        let (x, y) = (sx - f64::from(left) * across, sy - f64::from(top) * down);
        let (x, y) = (x + f64::from(area.left), y + f64::from(area.top));
        [x, y, across * f64::from(self.width), down * f64::from(self.height)].map(|value| value as f32)
    }

    fn place(&self, width: u32, height: u32) -> Placement {
        let whole = [0.0, 0.0, f64::from(width), f64::from(height)];
        let all = [0, 0, self.width, self.height];
        let (w, h) = (f64::from(width), f64::from(height));
        let (tw, th) = (f64::from(self.width), f64::from(self.height));
        match self.how.resize {
            ResizeKind::Squash => Placement { source: whole, target: all },
            ResizeKind::Crop => {
                // As torchvision: the side that decides becomes floor(target / crop), the other is cut to an integer.
                let (cover_w, cover_h) = ((tw / self.how.crop).floor(), (th / self.how.crop).floor());
                let (scaled_w, scaled_h) = if cover_w * h >= cover_h * w {
                    (cover_w, (cover_w * h / w).floor().max(cover_h))
                } else {
                    ((cover_h * w / h).floor().max(cover_w), cover_h)
                };
                let start = |scaled: f64, target: f64| ((scaled - target) / 2.0).round_ties_even();
                let (sx, sy) = (w / scaled_w, h / scaled_h);
                let source = [start(scaled_w, tw) * sx, start(scaled_h, th) * sy, tw * sx, th * sy];
                Placement { source: inside(source, w, h), target: all }
            }
            ResizeKind::Fit | ResizeKind::Letterbox => {
                let scale = (tw / w).min(th / h);
                let scaled = |side: f64, most: u32| ((side * scale).round() as u32).clamp(1, most);
                let (sw, sh) = (scaled(w, self.width), scaled(h, self.height));
                let centred = self.how.resize == ResizeKind::Letterbox;
                let (left, top) = if centred { ((self.width - sw) / 2, (self.height - sh) / 2) } else { (0, 0) };
                Placement { source: whole, target: [left, top, sw, sh] }
            }
        }
    }
}

/// Writes the luma of a part of `image` over `gray`.
fn take_luma(image: &RgbImage, area: Area, gray: &mut Vec<u8>) {
    let (left, width) = (area.left as usize, area.width as usize);
    let rows = image.pixels.as_chunks::<3>().0.chunks_exact(image.width as usize);
    gray.clear();
    for row in rows.skip(area.top as usize).take(area.height as usize) {
        gray.extend(row[left..left + width].iter().copied().map(luma));
    }
}

/// `0.299 red + 0.587 green + 0.114 blue`, with PIL's rounding. Of a gray pixel it is the pixel's own value.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    const WEIGHTS: [u32; 3] = [19595, 38470, 7471];
    let [r, g, b] = [red, green, blue].map(u32::from);
    ((WEIGHTS[0] * r + WEIGHTS[1] * g + WEIGHTS[2] * b + (1 << 15)) >> 16) as u8
}

/// `[left, top, width, height]` without the last bit of rounding that would reach over the picture's edge.
fn inside([x, y, w, h]: [f64; 4], width: f64, height: f64) -> [f64; 4] {
    [x, y, w.min(width - x), h.min(height - y)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(resize: ResizeKind, crop: f64, from: (u32, u32), to: (u32, u32)) -> Placement {
        let to = [3, to.1 as usize, to.0 as usize];
        Preprocessor::new(Preprocessing { resize, crop, ..Default::default() }, to).place(from.0, from.1)
    }

    #[test]
    fn placements_by_hand() {
        let p = place(ResizeKind::Crop, 0.875, (512, 256), (224, 224));
        assert_eq!(p, Placement { source: [144.0, 16.0, 224.0, 224.0], target: [0, 0, 224, 224] });
        let p = place(ResizeKind::Letterbox, 1.0, (640, 480), (32, 32));
        assert_eq!(p.target, [0, 4, 32, 24]);
        let p = place(ResizeKind::Fit, 1.0, (480, 640), (32, 32));
        assert_eq!(p.target, [0, 0, 24, 32]);
        let p = place(ResizeKind::Squash, 1.0, (7, 900), (32, 16));
        assert_eq!(p, Placement { source: [0.0, 0.0, 7.0, 900.0], target: [0, 0, 32, 16] });
    }

    #[test]
    fn an_input_reaches_as_far_as_it_was_cut_or_bordered() {
        let reach = |resize, crop, to: [usize; 2]| {
            let how = Preprocessing { resize, crop, ..Default::default() };
            Preprocessor::new(how, [3, to[0], to[1]]).reach(Area { left: 100, top: 10, width: 512, height: 256 })
        };
        assert_eq!(reach(ResizeKind::Crop, 0.875, [224, 224]), [244.0, 26.0, 224.0, 224.0]);
        assert_eq!(reach(ResizeKind::Squash, 1.0, [32, 16]), [100.0, 10.0, 512.0, 256.0]);
        // 16 rows of picture and 8 of border above and below.
        assert_eq!(reach(ResizeKind::Letterbox, 1.0, [32, 32]), [100.0, -118.0, 512.0, 512.0]);
        assert_eq!(reach(ResizeKind::Fit, 1.0, [32, 32]), [100.0, 10.0, 512.0, 512.0]);
    }

    #[test]
    fn extreme_shapes_are_placed_inside() {
        for kind in [ResizeKind::Crop, ResizeKind::Fit, ResizeKind::Letterbox, ResizeKind::Squash] {
            for from in [(1, 1), (1, 5000), (5000, 1), (3, 2), (31, 33)] {
                let how = Preprocessing { resize: kind, ..Default::default() };
                let mut p = Preprocessor::new(how, [3, 24, 40]);
                let resized = p.resize(&RgbImage::filled(from.0, from.1, [9, 80, 200])).unwrap();
                assert_eq!(resized.len(), 3 * 40 * 24);
                assert!(resized.chunks(3).any(|p| p == [9, 80, 200]), "{kind:?} {from:?}");
            }
        }
    }

    #[test]
    fn a_part_is_taken_as_if_it_were_cropped() {
        let image = RgbImage::new(50, 40, (0..50 * 40 * 3_u32).map(|i| (i * i / 11) as u8).collect());
        let area = Area { left: 9, top: 4, width: 30, height: 17 };
        for (kind, channels) in [ResizeKind::Crop, ResizeKind::Letterbox].into_iter().zip([3, 1]) {
            let how = Preprocessing { resize: kind, ..Preprocessing::of_channels(channels) };
            let mut p = Preprocessor::new(how, [channels, 12, 12]);
            let (mut ours, mut expected) = (vec![0.0; channels * 144], vec![0.0; channels * 144]);
            p.run_area(&image, area, &mut ours).unwrap();
            p.run(&image.cropped(area), &mut expected).unwrap();
            assert_eq!(ours, expected, "{kind:?}");
            let error = p.run_area(&image, Area { top: 30, ..area }, &mut ours).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Shape, "9,30,30,17 is not inside a picture of 50x40")
            );
        }
    }

    #[test]
    fn gray_networks_see_luma() {
        let how = Preprocessing {
            scale: 1.0,
            channels: ChannelOrder::Bgr,
            resize: ResizeKind::Letterbox,
            pad: [255, 0, 0],
            ..Preprocessing::of_channels(1)
        };
        let mut gray = Preprocessor::new(how, [1, 2, 4]);
        let mut input = [0.0; 8];
        gray.run(&RgbImage::filled(6, 6, [0, 255, 0]), &mut input).unwrap();
        assert_eq!(input, [76.0, 150.0, 150.0, 76.0, 76.0, 150.0, 150.0, 76.0]);
        // Of a gray picture nothing is lost.
        assert!((0..=255).all(|v| luma([v; 3]) == v));
        assert_eq!([[255, 0, 0], [0, 255, 0], [0, 0, 255], [13, 200, 77]].map(luma), [76, 150, 29, 130]);
    }

    #[test]
    fn planes_follow_the_channel_order() {
        let how = Preprocessing {
            channels: ChannelOrder::Bgr,
            scale: 1.0,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 4.0],
            ..Default::default()
        };
        let mut input = [0.0; 12];
        Preprocessor::new(how, [3, 2, 2]).run(&RgbImage::filled(5, 5, [11, 22, 33]), &mut input).unwrap();
        assert_eq!(input, [32.0, 32.0, 32.0, 32.0, 10.0, 10.0, 10.0, 10.0, 2.0, 2.0, 2.0, 2.0]);
        assert!(Preprocessor::new(Preprocessing::default(), [3, 2, 2]).resize(&RgbImage::new(0, 3, vec![])).is_err());
    }
}
