//! How a screen stores a pixel.

use std::fmt;

/// Where one colour is in a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channel {
    /// The lowest of its bits.
    pub(super) shift: u32,
    /// How many it has, at most 8.
    pub(super) bits: u32,
}

impl Channel {
    fn place(self, value: u8) -> u32 {
        u32::from(value >> (8 - self.bits)) << self.shift
    }
}

/// A pixel: an integer of 1 to 4 bytes, little-endian, that holds three colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PixelFormat {
    pub(super) bytes: usize,
    pub(super) red: Channel,
    pub(super) green: Channel,
    pub(super) blue: Channel,
}

const fn channel(shift: u32, bits: u32) -> Channel {
    Channel { shift, bits }
}

impl PixelFormat {
    /// 5 bits red, 6 green, 5 blue.
    pub(super) const RGB565: Self = Self { bytes: 2, red: channel(11, 5), green: channel(5, 6), blue: channel(0, 5) };
    /// 8 bits each, the upper 8 unused.
    pub(super) const XRGB8888: Self = Self { bytes: 4, red: channel(16, 8), green: channel(8, 8), blue: channel(0, 8) };

    /// Whether colours fit the pixel.
    pub(super) fn is_sound(self) -> bool {
        let fits = |c: Channel| (1..=8).contains(&c.bits) && c.shift.saturating_add(c.bits) <= 8 * self.bytes as u32;
        (1..=4).contains(&self.bytes) && fits(self.red) && fits(self.green) && fits(self.blue)
    }

    /// Writes a row of pixels, the colours of which are `pixel(0)`, `pixel(1)` and so on.
    pub(super) fn write(self, row: &mut [u8], pixel: impl Fn(usize) -> [u8; 3]) {
        // The size is known in each of these loops, so that a pixel is one store.
        match self.bytes {
            1 => self.write_sized::<1>(row, pixel),
            2 => self.write_sized::<2>(row, pixel),
            3 => self.write_sized::<3>(row, pixel),
            _ => self.write_sized::<4>(row, pixel),
        }
    }

    fn write_sized<const BYTES: usize>(self, row: &mut [u8], pixel: impl Fn(usize) -> [u8; 3]) {
        for (x, out) in row.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
            let [red, green, blue] = pixel(x);
            let value = self.red.place(red) | self.green.place(green) | self.blue.place(blue);
            out.copy_from_slice(&value.to_le_bytes()[..BYTES]);
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RGB565 => f.write_str("RGB565"),
            Self::XRGB8888 => f.write_str("XRGB8888"),
            _ => write!(f, "{} bits a pixel", 8 * self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [8, 4, 255]];

    fn row(format: PixelFormat) -> Vec<u8> {
        let mut row = vec![0; 3 * format.bytes];
        format.write(&mut row, |x| COLOURS[x]);
        row
    }

    #[test]
    fn pixels_are_the_kernels() {
        assert_eq!(row(PixelFormat::RGB565), [0x00, 0xf8, 0xe0, 0x07, 0x3f, 0x08]);
        assert_eq!(row(PixelFormat::XRGB8888), [0, 0, 255, 0, 0, 255, 0, 0, 255, 4, 8, 0]);
        let bgr24 = PixelFormat { bytes: 3, red: channel(0, 8), green: channel(8, 8), blue: channel(16, 8) };
        let rgb332 = PixelFormat { bytes: 1, red: channel(5, 3), green: channel(2, 3), blue: channel(0, 2) };
        assert_eq!(row(rgb332), [0xe0, 0x1c, 0x03]);
        assert_eq!(row(bgr24), [255, 0, 0, 0, 255, 0, 8, 4, 255]);
    }

    #[test]
    fn formats_that_make_no_sense_are_told() {
        assert!(PixelFormat::RGB565.is_sound() && PixelFormat::XRGB8888.is_sound());
        for wrong in [
            PixelFormat { bytes: 1, ..PixelFormat::RGB565 },
            PixelFormat { bytes: 0, ..PixelFormat::RGB565 },
            PixelFormat { bytes: 2, ..PixelFormat::XRGB8888 },
            PixelFormat { red: channel(0, 0), ..PixelFormat::XRGB8888 },
            PixelFormat { red: channel(0, 10), ..PixelFormat::XRGB8888 },
            PixelFormat { red: channel(u32::MAX, 8), ..PixelFormat::XRGB8888 },
        ] {
            assert!(!wrong.is_sound(), "{wrong:?}");
        }
    }
}
