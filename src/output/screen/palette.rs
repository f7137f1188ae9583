//! The colours of a screen whose pixels are numbers of colours.

use std::sync::Arc;

/// Red, green and blue of 256 colours, 16 bits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Palette {
    pub(super) red: [u16; 256],
    pub(super) green: [u16; 256],
    pub(super) blue: [u16; 256],
}

impl Palette {
    pub(super) const BLACK: Self = Self { red: [0; 256], green: [0; 256], blue: [0; 256] };

    /// From black to white.
    pub(super) fn greys() -> Self {
        Self::of(|number| [number; 3].map(|level| u16::from(level) * 257))
    }

    /// 3 bits red, 3 green, 2 blue.
    pub(super) fn colours() -> Self {
        Self::of(colour)
    }

    fn of(colour: impl Fn(u8) -> [u16; 3]) -> Self {
        let channel = |index: usize| std::array::from_fn(|number| colour(number as u8)[index]);
        Self { red: channel(0), green: channel(1), blue: channel(2) }
    }

    /// Whether it has nothing but shades of grey.
    pub(super) fn is_grey(&self) -> bool {
        self.red == self.green && self.green == self.blue
    }

    /// The number of the colour here that is nearest to each of `wanted`.
    pub(super) fn nearest(&self, wanted: &Self) -> Arc<[u8; 256]> {
        let distance = |a: u16, b: u16| {
            let difference = i64::from(a) - i64::from(b);
            difference * difference
        };
        let nearest = |number: usize| {
            let far = |own: &usize| {
                distance(self.red[*own], wanted.red[number])
                    + distance(self.green[*own], wanted.green[number])
                    + distance(self.blue[*own], wanted.blue[number])
            };
            (0..256).min_by_key(far).unwrap_or(0) as u8
        };
        Arc::new(std::array::from_fn(nearest))
    }
}

/// The colour that a number of 3, 3 and 2 bits means.
fn colour(number: u8) -> [u16; 3] {
    let number = u32::from(number);
    let part = |value: u32, most: u32| (value * 65_535 / most) as u16;
    [part(number >> 5, 7), part(number >> 2 & 7, 7), part(number & 3, 3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_found_again() {
        let colours = Palette::colours();
        assert_eq!((colours.red[0xe0], colours.green[0xe0], colours.blue[0xe0]), (65_535, 0, 0));
        assert_eq!((colours.red[0x49], colours.green[0x49], colours.blue[0x49]), (18_724, 18_724, 21_845));
        assert!(colours.nearest(&colours).iter().enumerate().all(|(number, found)| number == usize::from(*found)));
        assert!(Palette::greys().is_grey() && !colours.is_grey());
    }

    #[test]
    fn what_is_not_there_is_the_nearest() {
        // Black, red and white, in another order.
        let mut three = Palette::BLACK;
        (three.red[7], three.red[9]) = (65_535, 65_535);
        (three.green[9], three.blue[9]) = (65_535, 65_535);
        let found = three.nearest(&Palette::colours());
        assert_eq!([0xff, 0xe0, 0xc0, 0x00, 0x24].map(|number: usize| found[number]), [9, 7, 7, 0, 0]);
    }
}
