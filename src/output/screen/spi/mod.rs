//! Small displays on an SPI bus that no kernel driver shows pictures on: their commands are mipidsi's, the bus is `/dev/spidev`, and the lines
//! beside it are the GPIO chip's.
//!
//! A bus is slow (240x240 pixels take 29 ms at 32 MHz), so only what changed since the picture before is sent.

mod port;
mod settings;

use std::io;

use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::pixelcolor::raw::RawU16;
use embedded_hal::delay::DelayNs;
use mipidsi::interface::{Interface, InterfaceKind};
use mipidsi::models::{self, Model};
use mipidsi::options::{ColorInversion, ColorOrder};
use mipidsi::{Builder, Display, InitError, NoResetPin};

use super::fit::Rotation;
use super::format::Format;
use super::pixels::PixelFormat;
use super::{Layout, Surface};
use crate::error::{Error, ErrorKind, Result, reason};
use port::{BusAndLines, Port};
use settings::{Controller, Settings};

/// Rows that are compared together.
const BAND: usize = 8;
/// Bytes of pixels that are gathered before they are sent.
const GATHERED: usize = 4096;

/// A display.
pub(super) struct SpiDisplay {
    name: String,
    panel: Box<dyn Panel>,
    layout: Layout,
    /// What it shows; empty before the first picture.
    shown: Vec<u8>,
}

impl SpiDisplay {
    /// The display that `rest` of `spi://rest` names, switched on, and how it is mounted.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for settings that mean nothing, [`ErrorKind::Output`] for a bus or a line that cannot be had.
    pub(super) fn open(rest: &str) -> Result<(Self, Rotation)> {
        let settings = Settings::parse(rest)?;
        let port = BusAndLines::open(&settings)?;
        Ok((Self::with(&settings, Box::new(port), &mut Sleep)?, settings.rotation))
    }

    fn with(settings: &Settings, port: Box<dyn Port>, delay: &mut impl DelayNs) -> Result<Self> {
        let name = settings.name();
        let panel = panel(settings, Wire { port }, delay).map_err(|error| match error {
            InitError::InvalidConfiguration(what) => {
                let message = format!("{name}: size and offset are not within what its controller has: {what:?}");
                Error::new(ErrorKind::Usage, message)
            }
            InitError::Interface(error) => failed(&name, error),
            InitError::ResetPin(never) => match never {},
        })?;
        let (width, height) = settings.size;
        let (stride, format) = (2 * usize::from(width), Format::Colours(PixelFormat::RGB565));
        let layout = Layout { width: width.into(), height: height.into(), stride, format };
        Ok(Self { name, panel, layout, shown: Vec::new() })
    }
}

fn failed(name: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Output, format!("cannot show a picture on {name}: {}", reason(&error))).caused_by(error)
}

impl Surface for SpiDisplay {
    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn show(&mut self, contents: &[u8]) -> Result<()> {
        let stride = self.layout.stride;
        for (left, top, right, bottom) in changed(&self.shown, contents, stride) {
            let rows =
                (top..=bottom).flat_map(|y| contents[y * stride + 2 * left..][..2 * (right - left + 1)].as_chunks().0);
            let mut pixels = rows.map(|bytes| RawU16::new(u16::from_le_bytes(*bytes)).into());
            let corners = [left, top, right, bottom].map(|place| place as u16);
            self.panel.write(corners, &mut pixels).map_err(|error| failed(&self.name, error))?;
        }
        self.shown.clear();
        self.shown.extend_from_slice(contents);
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        self.show(&vec![0; self.layout.stride * self.layout.height as usize])
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

impl std::fmt::Debug for SpiDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpiDisplay").field("name", &self.name).field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Left, top, right and bottom, inclusive, of what is another in `after`, in pixels of two bytes: of each band of rows that part. All of it
/// where there is no `before`.
fn changed(before: &[u8], after: &[u8], stride: usize) -> Vec<(usize, usize, usize, usize)> {
    let mut areas = Vec::new();
    for (band, rows) in after.chunks(BAND * stride).enumerate() {
        let (top, count) = (band * BAND, rows.len() / stride);
        let Some(old) = before.get(top * stride..top * stride + rows.len()) else {
            areas.push((0, top, stride / 2 - 1, top + count - 1));
            continue;
        };
        let mut area: Option<(usize, usize, usize, usize)> = None;
        for (y, (old, new)) in old.chunks_exact(stride).zip(rows.chunks_exact(stride)).enumerate() {
            let (old, new) = (old.as_chunks::<2>().0, new.as_chunks::<2>().0);
            let differs = |x: &usize| old[*x] != new[*x];
            let (Some(first), Some(last)) = ((0..new.len()).find(differs), (0..new.len()).rfind(differs)) else {
                continue;
            };
            let (left, from, right, _) = area.unwrap_or((first, top + y, last, top + y));
            area = Some((left.min(first), from, right.max(last), top + y));
        }
        areas.extend(area);
    }
    areas
}

/// A controller that takes pixels.
trait Panel: Send {
    /// Fills the rectangle between these columns and rows (left, top, right, bottom, inclusive), row by row.
    fn write(&mut self, corners: [u16; 4], pixels: &mut dyn Iterator<Item = Rgb565>) -> io::Result<()>;
}

impl<M: Model<ColorFormat = Rgb565> + Send> Panel for Display<Wire, M, NoResetPin> {
    fn write(
        &mut self,
        [left, top, right, bottom]: [u16; 4],
        pixels: &mut dyn Iterator<Item = Rgb565>,
    ) -> io::Result<()> {
        self.set_pixels(left, top, right, bottom, pixels)
    }
}

type Failure = InitError<io::Error, std::convert::Infallible>;

/// Switches the controller on.
fn panel(settings: &Settings, wire: Wire, delay: &mut impl DelayNs) -> std::result::Result<Box<dyn Panel>, Failure> {
    match settings.controller {
        Controller::Gc9107 => started(models::GC9107, settings, wire, delay),
        Controller::Gc9a01 => started(models::GC9A01, settings, wire, delay),
        Controller::Ili9341 => started(models::ILI9341Rgb565, settings, wire, delay),
        Controller::Ili9342c => started(models::ILI9342CRgb565, settings, wire, delay),
        Controller::St7735 => started(models::ST7735s, settings, wire, delay),
        Controller::St7789 => started(models::ST7789, settings, wire, delay),
        Controller::St7796 => started(models::ST7796, settings, wire, delay),
    }
}

fn started<M: Model<ColorFormat = Rgb565> + Send + 'static>(
    model: M,
    settings: &Settings,
    wire: Wire,
    delay: &mut impl DelayNs,
) -> std::result::Result<Box<dyn Panel>, Failure> {
    let builder = Builder::new(model, wire)
        .display_size(settings.size.0, settings.size.1)
        .display_offset(settings.offset.0, settings.offset.1)
        .color_order(if settings.bgr { ColorOrder::Bgr } else { ColorOrder::Rgb })
        .invert_colors(if settings.inverted { ColorInversion::Inverted } else { ColorInversion::Normal });
    Ok(Box::new(builder.init(delay)?))
}

/// A port as mipidsi writes to it.
struct Wire {
    port: Box<dyn Port>,
}

impl Interface for Wire {
    type Word = u8;
    type Error = io::Error;

    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, args: &[u8]) -> io::Result<()> {
        self.port.send(false, &[command])?;
        if args.is_empty() { Ok(()) } else { self.port.send(true, args) }
    }

    fn send_pixels<const N: usize>(&mut self, pixels: impl IntoIterator<Item = [u8; N]>) -> io::Result<()> {
        let mut gathered = Vec::with_capacity(GATHERED);
        for pixel in pixels {
            gathered.extend_from_slice(&pixel);
            if gathered.len() + N > GATHERED {
                self.port.send(true, &gathered)?;
                gathered.clear();
            }
        }
        if gathered.is_empty() { Ok(()) } else { self.port.send(true, &gathered) }
    }

    fn send_repeated_pixel<const N: usize>(&mut self, pixel: [u8; N], count: u32) -> io::Result<()> {
        self.send_pixels(std::iter::repeat_n(pixel, count as usize))
    }
}

/// Waits as long as a controller needs.
struct Sleep;

impl DelayNs for Sleep {
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(std::time::Duration::from_nanos(ns.into()));
    }
}

#[cfg(test)]
mod tests;
