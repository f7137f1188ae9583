//! Annotated pictures on a screen, without a desktop: the kernel's framebuffer, or its display driver (DRM).
//!
//! | URI | screen |
//! |---|---|
//! | `fb://`, `fb://0`, `fb:///dev/fb0` | a framebuffer; the console on it is silenced meanwhile |
//! | `drm://card0`, `drm:///dev/dri/card0` | the first connected display of a graphics card |
//! | `drm://` | that of the first card that has one |
//! | `spi://0.0?display=st7789&dc=25` | a display without a kernel driver (feature `spi`) |
//!
//! `?rotate=90` (180, 270) turns pictures clockwise, for displays that are mounted so. A picture is as large as fits, in the
//! middle, and black around it. Screens without colours get shades of grey, or black and white dots.

mod console;
mod drm;
mod fit;
mod format;
mod framebuffer;
mod palette;
mod pixels;
#[cfg(feature = "spi")]
mod spi;
mod sys;
mod uri;

use super::{Delivery, Sink};
use crate::error::Result;
use crate::frame::RgbImage;
use crate::prediction::FrameReport;
use fit::{Fitter, Rotation};
use format::Format;

/// What a device shows: rows of pixels in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    width: u32,
    height: u32,
    /// Bytes from one row to the next.
    stride: usize,
    format: Format,
}

/// A device that shows pictures.
trait Surface: Send + std::fmt::Debug {
    fn layout(&self) -> Layout;

    /// Shows the whole screen's `contents`: as many rows as it has, `stride` bytes each.
    fn show(&mut self, contents: &[u8]) -> Result<()>;

    /// Gives the screen back to who had it before. Dropping does so too.
    fn release(&mut self) -> Result<()>;

    /// The device in words.
    fn describe(&self) -> String;
}

/// Shows each picture it gets.
#[derive(Debug)]
pub(super) struct Screen {
    surface: Box<dyn Surface>,
    fitter: Fitter,
    contents: Vec<u8>,
}

impl Screen {
    /// The framebuffer that `rest` of `fb://rest` names.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what names none, [`ErrorKind::Output`](crate::error::ErrorKind::Output)
    /// for one that cannot be had.
    pub(super) fn framebuffer(rest: &str) -> Result<Self> {
        let (path, rotation) = uri::parse("fb", rest)?;
        Ok(Self::new(Box::new(framebuffer::Framebuffer::open(&path)?), rotation))
    }

    /// The display that `rest` of `drm://rest` names.
    ///
    /// # Errors
    /// As [`Screen::framebuffer`].
    pub(super) fn drm(rest: &str) -> Result<Self> {
        let (path, rotation) = uri::parse("drm", rest)?;
        Ok(Self::new(Box::new(drm::Display::open(&path)?), rotation))
    }

    /// The display that `rest` of `spi://rest` names.
    ///
    /// # Errors
    /// As [`Screen::framebuffer`].
    #[cfg(feature = "spi")]
    pub(super) fn spi(rest: &str) -> Result<Self> {
        let (display, rotation) = spi::SpiDisplay::open(rest)?;
        Ok(Self::new(Box::new(display), rotation))
    }

    fn new(surface: Box<dyn Surface>, rotation: Rotation) -> Self {
        let layout = surface.layout();
        let contents = vec![layout.format.black(); layout.stride * layout.height as usize];
        Self { surface, fitter: Fitter::new(rotation), contents }
    }
}

impl Sink for Screen {
    fn wants_picture(&self) -> bool {
        true
    }

    fn shown_size(&self, picture: (u32, u32)) -> Option<(u32, u32)> {
        Some(self.fitter.size_of(picture, &self.surface.layout()))
    }

    fn deliver(&mut self, _: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        if let Some(picture) = picture {
            self.fitter.draw(picture, &self.surface.layout(), &mut self.contents)?;
            self.surface.show(&self.contents)?;
        }
        Ok(Delivery::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.surface.release()
    }

    fn describe(&self) -> String {
        let Layout { width, height, format, .. } = self.surface.layout();
        format!("screen {} ({width}x{height}, {format})", self.surface.describe())
    }
}

#[cfg(test)]
mod tests;
