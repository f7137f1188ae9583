//! Pictures turned and mirrored.

use image::metadata::Orientation;

use crate::frame::RgbImage;

/// How a picture is turned: mirrored at its diagonal from the upper left, then left to right, then top to bottom. The
/// eight ways that a picture can lie are the eight of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn {
    /// Columns become rows.
    pub(crate) transpose: bool,
    /// Left and right change places.
    pub(crate) horizontal: bool,
    /// Top and bottom change places.
    pub(crate) vertical: bool,
}

impl Turn {
    /// What turns a picture upright that has this EXIF segment, without its name.
    pub(crate) fn of_exif(exif: &[u8]) -> Self {
        Orientation::from_exif_chunk(exif).map_or(Self::default(), Self::of)
    }

    /// What turns a picture upright that lies so.
    pub(crate) fn of(orientation: Orientation) -> Self {
        let turn = |transpose, horizontal, vertical| Self { transpose, horizontal, vertical };
        match orientation {
            Orientation::NoTransforms => Self::default(),
            Orientation::FlipHorizontal => turn(false, true, false),
            Orientation::Rotate180 => turn(false, true, true),
            Orientation::FlipVertical => turn(false, false, true),
            Orientation::Rotate90FlipH => turn(true, false, false),
            Orientation::Rotate90 => turn(true, true, false),
            Orientation::Rotate270FlipH => turn(true, true, true),
            Orientation::Rotate270 => turn(true, false, true),
        }
    }

    /// The picture so turned.
    pub(crate) fn apply(self, image: RgbImage) -> RgbImage {
        let mut image = if self.transpose { transposed(&image) } else { image };
        let row = image.width as usize * 3;
        if row == 0 {
            return image;
        }
        if self.horizontal {
            for row in image.pixels.chunks_exact_mut(row) {
                row.as_chunks_mut::<3>().0.reverse();
            }
        }
        if self.vertical {
            let (upper, lower) = image.pixels.split_at_mut(image.height as usize / 2 * row);
            for (above, below) in upper.chunks_exact_mut(row).zip(lower.chunks_exact_mut(row).rev()) {
                above.swap_with_slice(below);
            }
        }
        image
    }
}

fn transposed(image: &RgbImage) -> RgbImage {
    let (width, height) = (image.width as usize, image.height as usize);
    let (from, _) = image.pixels.as_chunks::<3>();
    let mut pixels = vec![0; image.pixels.len()];
    let (to, _) = pixels.as_chunks_mut::<3>();
    for x in 0..width {
        for y in 0..height {
            to[x * height + y] = from[y * width + x];
        }
    }
    RgbImage::new(image.height, image.width, pixels)
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;

    #[test]
    fn all_eight_are_those_of_the_image_crate() {
        for (width, height) in [(4, 3), (3, 5), (1, 1)] {
            let pixels: Vec<u8> = (0..width * height).flat_map(|i| [i as u8, 0, 7]).collect();
            let original = RgbImage::new(width, height, pixels.clone());
            for number in 1..=8 {
                let orientation = Orientation::from_exif(number).unwrap();
                let mut expected =
                    DynamicImage::from(image::RgbImage::from_raw(width, height, pixels.clone()).unwrap());
                expected.apply_orientation(orientation);
                let turned = Turn::of(orientation).apply(original.clone());
                assert_eq!((turned.width, turned.height), (expected.width(), expected.height()), "{number}");
                assert_eq!(turned.pixels, expected.into_rgb8().into_raw(), "{number}");
            }
        }
    }

    #[test]
    fn what_is_no_orientation_turns_nothing() {
        for exif in
            [&b""[..], b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0"]
        {
            assert_eq!(Turn::of_exif(exif), Turn::default());
        }
    }
}
