//! Frames of cameras, with any geometry and any distance between rows.

#![no_main]

use std::time::{Instant, SystemTime};

use arbitrary::Arbitrary;
use densight::camera::{Flip, Turning, decode};
use densight::frame::{Frame, PixelFormat};
use densight_fuzz::guarded;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    format: u8,
    flip: u8,
    width: Side,
    height: Side,
    stride: Side,
    data: &'a [u8],
}

/// Mostly small: great pictures are refused for want of bytes.
#[derive(Debug, Arbitrary)]
enum Side {
    Small(u8),
    Any(u32),
}

impl Side {
    fn value(&self) -> u32 {
        match *self {
            Self::Small(value) => value.into(),
            Self::Any(value) => value,
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let formats = [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Jpeg];
    let flips = [Flip::None, Flip::Horizontal, Flip::Vertical, Flip::Both];
    let frame = Frame {
        data: input.data.to_vec(),
        format: formats[usize::from(input.format) % 4],
        width: input.width.value(),
        height: input.height.value(),
        stride: input.stride.value(),
        sequence: 0,
        captured: Instant::now(),
        timestamp: SystemTime::UNIX_EPOCH,
        origin: None,
        damage: None,
    };
    guarded(|| {
        let turning = Turning { rotation: Default::default(), flip: flips[usize::from(input.flip) % 4] };
        if let Ok(decoded) = decode(&frame, turning) {
            let image = decoded.image;
            assert_eq!(image.pixels.len(), 3 * image.width as usize * image.height as usize);
        }
    });
});
