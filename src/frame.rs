//! A camera frame as it was captured, and the decoded picture made from it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the bytes of a [`Frame`] encode its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PixelFormat {
    /// Packed RGB, 3 bytes a pixel (V4L2 `RGB3`).
    Rgb8,
    /// The same from blue to red (V4L2 `BGR3`).
    Bgr8,
    /// Packed RGB of 5, 6 and 5 bits in two bytes, the lowest first (V4L2 `RGBP`).
    Rgb565,
    /// Packed YUV 4:2:2, bytes Y0 U Y1 V for two pixels (V4L2 `YUYV`).
    Yuyv,
    /// The same as U Y0 V Y1 (V4L2 `UYVY`).
    Uyvy,
    /// The same as Y0 V Y1 U (V4L2 `YVYU`).
    Yvyu,
    /// A full-size Y plane, then one half-size plane of interleaved U V (V4L2 `NV12`).
    Nv12,
    /// The same with V U (V4L2 `NV21`).
    Nv21,
    /// A full-size Y plane, then a half-size plane of U and one of V, whose rows are half as far apart (V4L2 `YU12`).
    I420,
    /// One byte a pixel, its brightness from 0 to 255 (V4L2 `GREY`).
    Gray8,
    /// Two bytes a pixel, the lowest first: its brightness from 0 to 1023 (V4L2 `Y10 `).
    Gray10,
    /// The same to 4095 (V4L2 `Y12 `).
    Gray12,
    /// One complete JPEG picture (V4L2 `MJPG`), possibly without Huffman tables.
    Jpeg,
}

impl PixelFormat {
    /// Those that Densight reads.
    pub(crate) const ALL: [Self; 13] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Yvyu,
        Self::Nv12,
        Self::Nv21,
        Self::I420,
        Self::Rgb8,
        Self::Bgr8,
        Self::Rgb565,
        Self::Gray8,
        Self::Gray10,
        Self::Gray12,
        Self::Jpeg,
    ];

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb8 => "RGB24",
            Self::Bgr8 => "BGR24",
            Self::Rgb565 => "RGB565",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Yvyu => "YVYU",
            Self::Nv12 => "NV12",
            Self::Nv21 => "NV21",
            Self::I420 => "I420",
            Self::Gray8 => "GREY",
            Self::Gray10 => "Y10",
            Self::Gray12 => "Y12",
            Self::Jpeg => "MJPEG",
        }
    }
}

impl std::str::FromStr for PixelFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let name = name.to_ascii_lowercase();
        let known = Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(&name));
        known
            .or(match name.as_str() {
                "mjpg" => Some(Self::Jpeg),
                "gray" => Some(Self::Gray8),
                "yu12" | "yuv420p" => Some(Self::I420),
                _ => None,
            })
            .ok_or_else(|| {
                let names = Self::ALL.map(|format| format.name().to_ascii_lowercase()).join(", ");
                Error::new(ErrorKind::Usage, format!("unknown codec '{name}': there are {names}"))
            })
    }
}

impl TryFrom<String> for PixelFormat {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<PixelFormat> for String {
    fn from(format: PixelFormat) -> Self {
        format.name().to_ascii_lowercase()
    }
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
    /// Bytes from one row to the next of the first plane, unless it is `Jpeg`; drivers may pad rows.
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
    #[cfg(feature = "camera")]
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

    /// All of it.
    pub fn area(&self) -> Area {
        Area { left: 0, top: 0, width: self.width, height: self.height }
    }

    /// A copy of the part `area`.
    ///
    /// # Panics
    /// If the area is not inside the picture.
    pub fn cropped(&self, area: Area) -> Self {
        assert!(area.is_inside(self.width, self.height), "{area} is not inside {}x{}", self.width, self.height);
        let (left, row, stride) = (area.left as usize * 3, area.width as usize * 3, self.width as usize * 3);
        let rows = self.pixels.chunks_exact(stride.max(1)).skip(area.top as usize).take(area.height as usize);
        Self::new(area.width, area.height, rows.flat_map(|pixels| &pixels[left..left + row]).copied().collect())
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

/// A rectangle of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Columns to its left.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Columns of it.
    pub width: u32,
    /// Rows of it.
    pub height: u32,
}

impl Area {
    /// Whether it has pixels, all of them in a picture of `width` x `height`.
    pub fn is_inside(self, width: u32, height: u32) -> bool {
        let fits =
            |start: u32, length: u32, all: u32| length > 0 && start.checked_add(length).is_some_and(|end| end <= all);
        fits(self.left, self.width, width) && fits(self.top, self.height, height)
    }
}

impl Area {
    /// The same part of the picture once that is scaled, from this width and height to that; at least a pixel.
    #[must_use]
    pub fn scaled(self, from: (u32, u32), to: (u32, u32)) -> Self {
        let axis = |start: u32, length: u32, from: u32, to: u32| {
            let at = |edge: u32| (u64::from(edge.min(from)) * u64::from(to) / u64::from(from.max(1))) as u32;
            let first = at(start).min(to.saturating_sub(1));
            (first, at(start.saturating_add(length)).saturating_sub(first).max(1))
        };
        let ((left, width), (top, height)) =
            (axis(self.left, self.width, from.0, to.0), axis(self.top, self.height, from.1, to.1));
        Self { left, top, width, height }
    }
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_inside_or_not_and_is_cropped_row_by_row() {
        let area = |left, top, width, height| Area { left, top, width, height };
        assert!(area(0, 0, 4, 3).is_inside(4, 3) && area(3, 2, 1, 1).is_inside(4, 3));
        for outside in [area(4, 0, 1, 1), area(0, 0, 5, 1), area(0, 2, 1, 2), area(0, 0, 0, 1), area(u32::MAX, 0, 2, 1)]
        {
            assert!(!outside.is_inside(4, 3), "{outside}");
        }
        let image = RgbImage::new(4, 3, (0..36).collect());
        let part = image.cropped(area(1, 1, 2, 2));
        assert_eq!(part.pixels, [15, 16, 17, 18, 19, 20, 27, 28, 29, 30, 31, 32]);
        assert_eq!(image.cropped(image.area()), image);
    }

    #[test]
    fn an_area_is_scaled_with_its_picture() {
        let area = |left, top, width, height| Area { left, top, width, height };
        assert_eq!(area(320, 0, 320, 480).scaled((640, 480), (240, 180)), area(120, 0, 120, 180));
        assert_eq!(area(639, 479, 1, 1).scaled((640, 480), (10, 10)), area(9, 9, 1, 1));
        assert!(area(1, 2, 3, 4).scaled((5, 6), (1, 1)).is_inside(1, 1));
        assert!(area(1, 2, u32::MAX, u32::MAX).scaled((0, 6), (7, 1)).is_inside(7, 1));
    }

    #[test]
    fn formats_have_names() {
        for format in PixelFormat::ALL {
            assert_eq!(String::from(format).parse::<PixelFormat>().unwrap(), format);
        }
        assert_eq!("yu12".parse::<PixelFormat>().unwrap(), PixelFormat::I420);
        let error = "h264".parse::<PixelFormat>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("yuyv, uyvy"), "{error}");
    }
}
