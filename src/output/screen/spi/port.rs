//! The bus and the lines beside it.

use std::io::{self, Write};
use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::line::Value;
use spidev::{SpiModeFlags, Spidev, SpidevOptions};

use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result, reason};

/// Bytes that the driver takes at once, unless it is told otherwise.
const AT_ONCE: usize = 4096;
/// How long a controller is held in reset, and how long it needs afterwards.
const RESET: Duration = Duration::from_millis(20);
const AWAKE: Duration = Duration::from_millis(120);

/// What takes commands and data.
pub(super) trait Port: Send {
    /// Sends bytes, as data or as a command.
    fn send(&mut self, is_data: bool, bytes: &[u8]) -> io::Result<()>;
}

/// A device of `spidev`, and the line that tells data from commands.
pub(super) struct BusAndLines {
    bus: Spidev,
    dc: Request,
    line: u32,
    /// What the line says.
    is_data: Option<bool>,
    /// Keeps the light on.
    _backlight: Option<Request>,
}

impl BusAndLines {
    /// Opens the bus and takes the lines; resets the controller where a line does that.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] naming what cannot be had.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let path = settings.device();
        let failed = |error: io::Error| {
            let what = match error.kind() {
                io::ErrorKind::NotFound => {
                    "it does not exist: is the bus switched on (raspi-config, dtparam=spi=on)?".into()
                }
                io::ErrorKind::PermissionDenied => {
                    "permission denied: whoever runs this must be in the group spi".into()
                }
                _ => reason(&error),
            };
            let message = format!("cannot show pictures on {}: {path}: {what}", settings.name());
            Error::new(ErrorKind::Output, message).caused_by(error)
        };
        let mut bus = Spidev::open(&path).map_err(failed)?;
        let options =
            SpidevOptions::new().bits_per_word(8).max_speed_hz(settings.hertz).mode(SpiModeFlags::SPI_MODE_0).build();
        bus.configure(&options).map_err(failed)?;
        let take = |what: &str, number: u32, value: Value| {
            let mut builder = Request::builder();
            builder.with_consumer("densight").on_chip(&settings.chip).with_line(number).as_output(value);
            builder.request().map_err(|error| {
                let (name, chip) = (settings.name(), settings.chip.display());
                let message = format!(
                    "cannot show pictures on {name}: {what}, line {number} of {chip}, cannot be had: {error}: is it in use, and is the user in the group gpio?"
                );
                Error::new(ErrorKind::Output, message).caused_by(error)
            })
        };
        let dc = take("dc", settings.dc, Value::Inactive)?;
        let backlight = settings.backlight.map(|number| take("backlight", number, Value::Active)).transpose()?;
        if let Some(number) = settings.reset {
            // The line may be given back afterwards: it is pulled up on the display.
            let reset = take("reset", number, Value::Inactive)?;
            std::thread::sleep(RESET);
            reset.set_value(number, Value::Active).map_err(|error| failed(io::Error::other(error)))?;
            std::thread::sleep(AWAKE);
        }
        Ok(Self { bus, dc, line: settings.dc, is_data: None, _backlight: backlight })
    }
}

impl Port for BusAndLines {
    fn send(&mut self, is_data: bool, bytes: &[u8]) -> io::Result<()> {
        if self.is_data != Some(is_data) {
            let value = if is_data { Value::Active } else { Value::Inactive };
            self.dc.set_value(self.line, value).map_err(io::Error::other)?;
            self.is_data = Some(is_data);
        }
        bytes.chunks(AT_ONCE).try_for_each(|part| self.bus.write_all(part))
    }
}
