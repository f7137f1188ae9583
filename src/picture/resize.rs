//! Scaling, by `fast_image_resize`: the one place that knows it.
//!
//! Each kind of pixel compiles to kernels of its own for every instruction set, so only the two that are used are named.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Area;

/// How pixels between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle, as wide as the pixels that it averages.
    Bilinear,
    /// Catmull-Rom.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

/// Packed pixels of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pixels<'a> {
    /// 3 bytes a pixel.
    Rgb(&'a [u8]),
    /// 1 byte a pixel.
    Luma(&'a [u8]),
}

/// A part of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// All pixels of the picture, row by row.
    pub(crate) pixels: Pixels<'a>,
    /// Width and height of the picture, in pixels.
    pub(crate) size: (u32, u32),
    /// Nothing outside of it counts: filters end at its edges as at those of a picture.
    pub(crate) area: Area,
    /// Left, top, width and height of the part within the area, in pixels.
    pub(crate) part: [f64; 4],
}

impl<'a> Part<'a> {
    /// All of `image`.
    pub(crate) fn whole(image: &'a crate::frame::RgbImage) -> Self {
        let part = [0.0, 0.0, f64::from(image.width), f64::from(image.height)];
        Self { pixels: Pixels::Rgb(&image.pixels), size: (image.width, image.height), area: image.area(), part }
    }
}

/// Scales pictures. Keeps its buffers from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct Resizer(fast_image_resize::Resizer);

impl Resizer {
    /// Writes `from`, scaled to `width` x `height`, over `to`: packed pixels of the same kind.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for fewer pixels than the picture's size says, and for a part that is not inside the area, or an area that is
    /// not inside the picture.
    pub(crate) fn resize(
        &mut self,
        from: Part<'_>,
        filter: Filter,
        (width, height): (u32, u32),
        to: &mut Vec<u8>,
    ) -> Result<()> {
        let area = width as usize * height as usize;
        match from.pixels {
            Pixels::Rgb(pixels) => {
                to.resize(3 * area, 0);
                self.typed::<U8x3>(pixels, from, filter, (width, height), to)
            }
            Pixels::Luma(pixels) => {
                to.resize(area, 0);
                self.typed::<U8>(pixels, from, filter, (width, height), to)
            }
        }
    }

    fn typed<P: PixelTrait>(
        &mut self,
        pixels: &[u8],
        from: Part<'_>,
        filter: Filter,
        (width, height): (u32, u32),
        to: &mut [u8],
    ) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| {
            let (w, h) = from.size;
            Error::new(ErrorKind::Image, format!("a picture of {w}x{h} cannot be scaled to {width}x{height}: {error}"))
        };
        let algorithm = match filter {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        };
        let [left, top, part_width, part_height] = from.part;
        let options = ResizeOptions::new().resize_alg(algorithm).crop(left, top, part_width, part_height);
        let picture = TypedImageRef::<P>::from_buffer(from.size.0, from.size.1, pixels).map_err(|e| failed(&e))?;
        if !from.area.is_inside(from.size.0, from.size.1) {
            return Err(failed(&format!("{} is not inside it", from.area)));
        }
        let Area { left, top, width: area_width, height: area_height } = from.area;
        let source = TypedCroppedImage::new(picture, left, top, area_width, area_height).map_err(|e| failed(&e))?;
        let mut target = TypedImage::<P>::from_buffer(width, height, to).map_err(|e| failed(&e))?;
        self.0.resize_typed(&source, &mut target, &options.use_alpha(false)).map_err(|e| failed(&e))
    }
}

#[cfg(all(test, feature = "camera"))]
mod tests {
    use super::*;
    use crate::frame::RgbImage;

    fn scaled(pixels: Pixels<'_>, size: (u32, u32), part: [f64; 4], filter: Filter, to: (u32, u32)) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let area = Area { left: 0, top: 0, width: size.0, height: size.1 };
        Resizer::default().resize(Part { pixels, size, area, part }, filter, to, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn halves_are_means_and_doubles_repeat() {
        let luma = [10, 30, 50, 70, 10, 30, 50, 70];
        let all = [0.0, 0.0, 4.0, 2.0];
        // A triangle reaches over its neighbours: (10 + 3 * 10 + 3 * 30 + 50) / 8 at an edge, without what is outside.
        assert_eq!(scaled(Pixels::Luma(&luma), (4, 2), all, Filter::Bilinear, (2, 1)).unwrap(), [24, 56]);
        let part = [1.0, 0.0, 2.0, 1.0];
        let doubled = scaled(Pixels::Luma(&luma), (4, 2), part, Filter::Nearest, (4, 2)).unwrap();
        assert_eq!(doubled, [30, 30, 50, 50, 30, 30, 50, 50]);
    }

    #[test]
    fn colours_keep_their_channels() {
        let image = RgbImage::filled(7, 5, [1, 100, 255]);
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            let mut bytes = vec![9; 100];
            Resizer::default().resize(Part::whole(&image), filter, (3, 4), &mut bytes).unwrap();
            assert_eq!(bytes, [1, 100, 255].repeat(12), "{filter:?}");
        }
    }

    #[test]
    fn an_area_is_scaled_as_if_it_were_cropped() {
        let pixels = (0..40 * 30 * 3_u32).map(|i| (i * i / 7) as u8).collect();
        let image = RgbImage::new(40, 30, pixels);
        let area = Area { left: 7, top: 5, width: 21, height: 13 };
        let cropped = image.cropped(area);
        let part = [1.5, 0.0, 18.0, 13.0];
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            let (mut ours, mut expected) = (Vec::new(), Vec::new());
            let mut resizer = Resizer::default();
            resizer.resize(Part { area, part, ..Part::whole(&image) }, filter, (8, 9), &mut ours).unwrap();
            resizer.resize(Part { part, ..Part::whole(&cropped) }, filter, (8, 9), &mut expected).unwrap();
            assert_eq!(ours, expected, "{filter:?}");
        }
        let outside = Part { area: Area { left: 30, ..area }, part, ..Part::whole(&image) };
        assert!(Resizer::default().resize(outside, Filter::Nearest, (1, 1), &mut Vec::new()).is_err());
    }

    #[test]
    fn parts_outside_and_empty_pictures_are_refused() {
        let outside = scaled(Pixels::Luma(&[0; 4]), (2, 2), [1.0, 0.0, 2.0, 2.0], Filter::Nearest, (1, 1));
        assert_eq!(outside.unwrap_err().kind(), ErrorKind::Image);
        let short = scaled(Pixels::Rgb(&[0; 11]), (2, 2), [0.0, 0.0, 2.0, 2.0], Filter::Nearest, (1, 1));
        assert!(short.unwrap_err().to_string().starts_with("a picture of 2x2 cannot be scaled to 1x1: "));
    }
}
