//! How a screen stores a row of pixels: as colours, as bytes, or as bits.

use std::fmt;
use std::sync::Arc;

use super::pixels::PixelFormat;

/// What is darker becomes black on screens that have no grey, and what is brighter white. Of the overlay that leaves its panels (68 at most, on
/// a white picture) and its letters (210 at least) without dots, so that letters are as sharp as on other screens.
const BLACK: u32 = 72;
const WHITE: u32 = 200;

/// The order in which pixels of a square turn white as it gets brighter: Bayer's, which scatters them evenly. It is the same for every frame,
/// where an error that is diffused would make pictures of a still scene swarm.
const ORDER: [[u8; 8]; 8] = order();

/// How pixels are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// Two bytes or more that hold three colours; one byte too, if it does.
    Colours(PixelFormat),
    /// One byte for each of 256 shades of grey, black first.
    Grey(Arc<[u8; 256]>),
    /// One byte for each of 256 colours: 3 bits red, 3 green, 2 blue.
    Palette(Arc<[u8; 256]>),
    /// One bit, the leftmost pixel's the lowest of a byte.
    Bits {
        /// Whether bits that are set are white.
        white: bool,
    },
}

impl Format {
    /// How many bits a pixel has.
    pub(super) fn bits(&self) -> usize {
        match self {
            Self::Colours(format) => 8 * format.bytes,
            Self::Grey(_) | Self::Palette(_) => 8,
            Self::Bits { .. } => 1,
        }
    }

    /// A byte of black pixels.
    pub(super) fn black(&self) -> u8 {
        match self {
            Self::Colours(_) => 0,
            Self::Grey(bytes) | Self::Palette(bytes) => bytes[0],
            Self::Bits { white } => {
                if *white {
                    0
                } else {
                    255
                }
            }
        }
    }

    /// Writes `count` pixels of row `y`, the colours of which are `pixel(0)`, `pixel(1)` and so on, from pixel `left` of `row` on.
    pub(super) fn write(
        &self,
        row: &mut [u8],
        (left, y): (usize, usize),
        count: usize,
        pixel: impl Fn(usize) -> [u8; 3],
    ) {
        match self {
            Self::Colours(format) => format.write(&mut row[left * format.bytes..][..count * format.bytes], pixel),
            Self::Grey(bytes) => {
                for (x, out) in row[left..][..count].iter_mut().enumerate() {
                    *out = bytes[luma(pixel(x)) as usize];
                }
            }
            Self::Palette(bytes) => {
                for (x, out) in row[left..][..count].iter_mut().enumerate() {
                    *out = bytes[usize::from(dithered(pixel(x), left + x, y))];
                }
            }
            Self::Bits { white } => {
                for x in 0..count {
                    let (at, bit) = ((left + x) / 8, 1 << ((left + x) % 8));
                    let is_white = is_white(luma(pixel(x)), left + x, y);
                    row[at] = if is_white == *white { row[at] | bit } else { row[at] & !bit };
                }
            }
        }
    }
}

/// How bright a colour is, 0 to 255 (ITU-R BT.601).
fn luma([red, green, blue]: [u8; 3]) -> u32 {
    (77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue) + 128) >> 8
}

/// From 1 to 127, in steps of 2.
fn threshold(x: usize, y: usize) -> u32 {
    2 * u32::from(ORDER[y % 8][x % 8]) + 1
}

fn is_white(luma: u32, x: usize, y: usize) -> bool {
    let stretched = (luma.max(BLACK) - BLACK).min(WHITE - BLACK);
    stretched * 128 > threshold(x, y) * (WHITE - BLACK)
}

/// The nearest colours of the palette, in turns.
fn dithered(pixel: [u8; 3], x: usize, y: usize) -> u8 {
    let [red, green, blue] = pixel.map(u32::from);
    let level = |value: u32, most: u32| (value * most + threshold(x, y) * 255 / 128) / 255;
    (level(red, 7) << 5 | level(green, 7) << 2 | level(blue, 3)) as u8
}

const fn order() -> [[u8; 8]; 8] {
    let mut order = [[0; 8]; 8];
    let mut at = 0;
    while at < 64 {
        let (x, y) = (at % 8, at / 8);
        let (mut value, mut bit) = (0, 0);
        while bit < 3 {
            value |= (((x ^ y) >> bit & 1) << (2 * (2 - bit) + 1)) | ((y >> bit & 1) << (2 * (2 - bit)));
            bit += 1;
        }
        order[y][x] = value as u8;
        at += 1;
    }
    order
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Colours(format) => format.fmt(f),
            Self::Grey(_) => f.write_str("shades of grey"),
            Self::Palette(_) => f.write_str("256 colours"),
            Self::Bits { .. } => f.write_str("black and white"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of `count` pixels of one colour, from pixel `left` on, with all other bits set.
    fn row(format: &Format, left: usize, count: usize, y: usize, color: [u8; 3]) -> Vec<u8> {
        let mut row = vec![255; 4];
        format.write(&mut row, (left, y), count, |_| color);
        row
    }

    #[test]
    fn bits_begin_with_the_lowest_and_leave_others_alone() {
        let format = Format::Bits { white: true };
        assert_eq!(row(&format, 3, 7, 0, [0; 3]), [0b0000_0111, 0b1111_1100, 255, 255]);
        let mut mixed = vec![0; 2];
        format.write(&mut mixed, (6, 0), 4, |x| [[255; 3], [0; 3], [0; 3], [255; 3]][x]);
        assert_eq!(mixed, [0b0100_0000, 0b0000_0010]);
        assert_eq!(row(&Format::Bits { white: false }, 0, 8, 0, [255; 3]), [0, 255, 255, 255]);
        assert_eq!([true, false].map(|white| Format::Bits { white }.black()), [0, 255]);
    }

    #[test]
    fn as_many_pixels_are_white_as_the_picture_is_bright() {
        let white = |luma: u8| (0..64).filter(|at| is_white(luma.into(), at % 8, at / 8)).count();
        assert_eq!([0, 72, 104, 136, 168, 200, 255].map(white), [0, 0, 16, 32, 48, 64, 64]);
        // Evenly: half of each row, and of each pair of pixels.
        assert!((0..8).all(|y| (0..8).all(|x| is_white(136, x, y) != is_white(136, x ^ 1, y))));
        let mut order = ORDER.concat();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..64));
    }

    #[test]
    fn letters_and_their_panels_have_no_dots() {
        // What the overlay draws on a black picture, and what becomes of a white one behind it.
        for (color, expected) in [([255, 255, 255], 0), ([206, 211, 220], 0), ([10, 12, 18], 255), ([67, 68, 73], 255)]
        {
            for y in 0..8 {
                assert_eq!(row(&Format::Bits { white: false }, 0, 8, y, color)[0], expected, "{color:?}");
            }
        }
    }

    #[test]
    fn bytes_are_shades_and_colours() {
        let identity = Arc::new(std::array::from_fn(|at| at as u8));
        let grey = Format::Grey(identity.clone());
        for (color, expected) in
            [([255; 3], 255), ([0; 3], 0), ([255, 0, 0], 77), ([0, 255, 0], 149), ([0, 0, 255], 29)]
        {
            assert_eq!(row(&grey, 1, 2, 0, color), [255, expected, expected, 255]);
        }
        let palette = Format::Palette(identity);
        for y in 0..8 {
            for (color, expected) in
                [([255; 3], 0xff), ([0; 3], 0), ([255, 0, 0], 0xe0), ([0, 255, 0], 0x1c), ([0, 0, 255], 0x03)]
            {
                assert_eq!(row(&palette, 0, 3, y, color)[..3], [expected; 3]);
            }
        }
        // What is between two colours of the palette is both of them, in the right shares.
        let reds = (0..64).filter(|at| dithered([18, 0, 0], at % 8, at / 8) == 0x20).count();
        assert!((31..=33).contains(&reds), "{reds}");
        let inverted = Format::Grey(Arc::new(std::array::from_fn(|at| 255 - at as u8)));
        assert_eq!((inverted.black(), row(&inverted, 0, 1, 0, [255; 3])[0]), (255, 0));
    }
}
