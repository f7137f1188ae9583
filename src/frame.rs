//! A camera frame as it was captured, and the decoded picture made from it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// How the bytes of a [`Frame`] encode its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Packed RGB, 3 bytes a pixel, rows top to bottom without padding.
    Rgb8,
    /// Packed YUV 4:2:2, bytes Y0 U Y1 V for two pixels (V4L2 `YUYV`).
    Yuyv,
    /// A full-size Y plane, then one half-size plane of interleaved U V (V4L2 `NV12`).
    Nv12,
    /// One byte a pixel, its brightness from 0 to 255 (V4L2 `GREY`).
    Gray8,
    /// One complete JPEG picture (V4L2 `MJPG`), possibly without Huffman tables.
    Jpeg,
}

/// One frame as its source delivered it, not yet decoded: frames that are dropped cost no decoding.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Encoded bytes, in `format`.
    pub data: Vec<u8>,
    /// Encoding of `data`.
    pub format: PixelFormat,
    /// Width in pixels; 0 when only the JPEG header knows.
    pub width: u32,
    /// Height in pixels; 0 when only the JPEG header knows.
    pub height: u32,
    /// Bytes from one row to the next of `Yuyv`, `Gray8` and of both planes of `Nv12`; drivers may pad rows.
    pub stride: u32,
    /// Position in the source's own sequence, from 0; gaps are frames the device itself lost.
    pub sequence: u64,
    /// Monotonic time of capture: latency is counted from here.
    pub captured: Instant,
    /// Wall-clock time of capture.
    pub timestamp: SystemTime,
    /// What the frame came from where that is more than the source itself (a file's path).
    pub origin: Option<Arc<str>>,
    /// What is wrong with the picture, where the source saw that: words that follow "the picture".
    pub damage: Option<&'static str>,
}

impl Frame {
    /// Which picture this is, for messages: its origin, or its number.
    pub(crate) fn place(&self) -> String {
        self.origin.as_deref().map_or_else(|| format!("frame {}", self.sequence), str::to_owned)
    }

    /// A frame that holds a decoded picture, captured now.
    pub fn from_image(image: RgbImage, sequence: u64) -> Self {
        Self {
            width: image.width,
            height: image.height,
            stride: image.width * 3,
            data: image.pixels,
            format: PixelFormat::Rgb8,
            sequence,
            captured: Instant::now(),
            timestamp: SystemTime::now(),
            origin: None,
            damage: None,
        }
    }
}

/// A decoded picture: packed RGB, 8 bits a channel, rows top to bottom without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// A picture from its pixels.
    ///
    /// # Panics
    /// If `pixels` is not `width * height * 3` bytes long.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), width as usize * height as usize * 3, "packed RGB of {width}x{height}");
        Self { width, height, pixels }
    }

    /// A picture of one colour.
    pub fn filled(width: u32, height: u32, rgb: [u8; 3]) -> Self {
        Self::new(width, height, rgb.repeat(width as usize * height as usize))
    }

    /// The colour at column `x`, row `y`.
    ///
    /// # Panics
    /// If the position is outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {}x{}", self.width, self.height);
        let at = (y as usize * self.width as usize + x as usize) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }
}
