//! `test://pattern`: colour bars, a block that moves over them and the frame's number, computed.

use std::time::Instant;

use super::pace::Pacer;
use super::{Source, SourceOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, RgbImage};

/// White, yellow, cyan, green, magenta, red, blue, black.
const BARS: [[u8; 3]; 8] =
    [[255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0], [255, 0, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]];

/// Digits 0 to 9, three columns by five rows; the highest of 15 bits is the upper left.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_001_001_001,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// The test pattern as a source; its pictures depend on size and sequence number only.
#[derive(Debug)]
pub(super) struct TestPattern {
    bars: RgbImage,
    rate: u32,
    pacer: Option<Pacer>,
    sequence: u64,
}

impl TestPattern {
    /// 640x480 at 30 frames a second unless `options` say otherwise.
    pub(super) fn new(options: &SourceOptions) -> Result<Self> {
        let (width, height) = (options.width.unwrap_or(640), options.height.unwrap_or(480));
        let rate = options.rate.unwrap_or(30);
        let usage = |message: String| Err(Error::new(ErrorKind::Usage, message));
        if !(16..=8192).contains(&width) || !(16..=8192).contains(&height) {
            return usage(format!("test://pattern cannot be {width}x{height}: each side may be 16 to 8192"));
        }
        if rate > 1000 {
            return usage(format!("test://pattern cannot give {rate} frames/s: at most 1000"));
        }
        if let Some(codec) = options.codec {
            return usage(format!("test://pattern is not encoded: {} can be asked of cameras only", codec.name()));
        }
        let row: Vec<u8> = (0..width).flat_map(|x| BARS[(x * 8 / width) as usize]).collect();
        let bars = RgbImage::new(width, height, row.repeat(height as usize));
        Ok(Self { bars, rate, pacer: options.paced.then(|| Pacer::new(rate)), sequence: 0 })
    }
}

impl Source for TestPattern {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let due = self.pacer.as_mut().map(Pacer::wait);
        let mut frame = Frame::from_image(draw(&self.bars, self.sequence), self.sequence);
        frame.captured = due.unwrap_or_else(Instant::now);
        self.sequence += 1;
        Ok(Some(frame))
    }

    fn describe(&self) -> String {
        format!("test://pattern {}x{} RGB {} fps", self.bars.width, self.bars.height, self.rate)
    }

    fn is_live(&self) -> bool {
        self.pacer.is_some()
    }
}

/// The picture with this number: the block runs to and fro, the number stands at the lower left.
fn draw(bars: &RgbImage, sequence: u64) -> RgbImage {
    let mut image = bars.clone();
    let (width, height) = (image.width, image.height);
    let side = width.min(height) / 4;
    // The way to the far edge and back, in steps of 1/128 of the width.
    let (way, step) = (u64::from(width - side), u64::from((width / 128).max(1)));
    let at = sequence.wrapping_mul(step) % (2 * way);
    let x = if at <= way { at } else { 2 * way - at } as u32;
    fill(&mut image, (x, height / 2 - side / 2), (side, side), [128, 128, 128]);
    let dot = (height / 60).max(1);
    fill(&mut image, (0, height - 7 * dot), (width, 7 * dot), [0, 0, 0]);
    for (place, digit) in sequence.to_string().bytes().enumerate() {
        let bits = DIGITS[usize::from(digit - b'0')];
        for bit in (0..15).filter(|bit| bits >> (14 - bit) & 1 == 1) {
            let (column, row) = (1 + place as u32 * 4 + bit % 3, 1 + bit / 3);
            fill(&mut image, (column * dot, height - 7 * dot + row * dot), (dot, dot), [255, 255, 255]);
        }
    }
    image
}

/// Fills a rectangle as far as it lies inside the picture.
fn fill(image: &mut RgbImage, (left, top): (u32, u32), (width, height): (u32, u32), rgb: [u8; 3]) {
    let right = (left + width).min(image.width) as usize;
    for y in top as usize..((top + height).min(image.height) as usize) {
        let row = y * image.width as usize;
        if let Some(pixels) = image.pixels.get_mut((row + left as usize) * 3..(row + right) * 3) {
            pixels.as_chunks_mut::<3>().0.fill(rgb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpaced(width: u32, height: u32) -> TestPattern {
        let options =
            SourceOptions { width: Some(width), height: Some(height), paced: false, ..SourceOptions::default() };
        TestPattern::new(&options).unwrap()
    }

    #[test]
    fn frames_depend_on_their_number_only_and_all_differ() {
        let (mut one, mut two) = (unpaced(160, 120), unpaced(160, 120));
        let mut last = Vec::new();
        for sequence in 0..300 {
            let (a, b) = (one.next_frame().unwrap().unwrap(), two.next_frame().unwrap().unwrap());
            assert_eq!((a.sequence, &a.data), (sequence, &b.data));
            assert_ne!(a.data, last);
            last = a.data;
        }
    }

    #[test]
    fn bars_are_in_their_order_and_the_block_moves() {
        let mut source = unpaced(640, 480);
        let picture = |frame: Frame| RgbImage::new(frame.width, frame.height, frame.data);
        let first = picture(source.next_frame().unwrap().unwrap());
        let top: Vec<[u8; 3]> = (0..8).map(|bar| first.pixel(bar * 80 + 40, 5)).collect();
        assert_eq!(top, BARS);
        assert_eq!((first.pixel(0, 240), first.pixel(121, 240)), ([128; 3], [255, 255, 0]));
        let second = picture(source.next_frame().unwrap().unwrap());
        assert_eq!((second.pixel(4, 240), second.pixel(5, 240)), ([255; 3], [128; 3]));
    }

    #[test]
    fn the_number_can_be_read() {
        let image = draw(&unpaced(640, 480).bars, 17);
        let lit = |column: u32, row: u32| image.pixel(column * 8 + 4, 480 - 56 + row * 8 + 4) == [255; 3];
        let one = (0..5).map(|row| (0..3).map(|c| if lit(1 + c, 1 + row) { '#' } else { '.' }).collect::<String>());
        assert_eq!(one.collect::<Vec<_>>(), [".#.", "##.", ".#.", ".#.", "###"]);
        assert!(lit(5, 1) && lit(7, 5) && !lit(5, 2));
    }

    #[test]
    fn size_and_number_never_leave_the_picture() {
        for (width, height) in [(16, 16), (16, 8192), (17, 33)] {
            let bars = unpaced(width, height).bars;
            for sequence in [0, 9, 12_345_678, u64::MAX] {
                assert_eq!(draw(&bars, sequence).pixels.len(), (width * height * 3) as usize);
            }
        }
        assert!(TestPattern::new(&SourceOptions { width: Some(9000), ..SourceOptions::default() }).is_err());
    }
}
