//! Which display a URI means, and how it is wired.

use std::path::PathBuf;

use super::super::fit::Rotation;
use crate::error::{Error, ErrorKind, Result};

/// Controllers, with the pixels that each has memory for.
const CONTROLLERS: [(&str, Controller, (u16, u16)); 7] = [
    ("gc9107", Controller::Gc9107, (128, 160)),
    ("gc9a01", Controller::Gc9a01, (240, 240)),
    ("ili9341", Controller::Ili9341, (240, 320)),
    ("ili9342c", Controller::Ili9342c, (320, 240)),
    ("st7735", Controller::St7735, (132, 162)),
    ("st7789", Controller::St7789, (240, 320)),
    ("st7796", Controller::St7796, (320, 480)),
];

/// What drives a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Gc9107,
    Gc9a01,
    Ili9341,
    Ili9342c,
    St7735,
    St7789,
    St7796,
}

/// A display, and its wires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Bus and chip select: `0.0`.
    pub(super) place: String,
    pub(super) controller: Controller,
    /// Columns and rows.
    pub(super) size: (u16, u16),
    /// Columns and rows of the controller's memory before those of the display.
    pub(super) offset: (u16, u16),
    pub(super) chip: PathBuf,
    /// Lines of the chip.
    pub(super) dc: u32,
    pub(super) reset: Option<u32>,
    pub(super) backlight: Option<u32>,
    pub(super) hertz: u32,
    pub(super) inverted: bool,
    pub(super) bgr: bool,
    pub(super) rotation: Rotation,
}

impl Settings {
    /// Those of `spi://BUS.SELECT?display=st7789&dc=25`, and more.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming what is missing or means nothing.
    pub(super) fn parse(rest: &str) -> Result<Self> {
        let usage = |what: String| {
            let example = "spi://0.0?display=st7789&size=240x240&dc=25&reset=27&backlight=18&rotate=90";
            Error::new(ErrorKind::Usage, format!("'spi://{rest}' {what}: write {example}"))
        };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let is_number =
            |text: &str| !text.is_empty() && text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !place.split_once('.').is_some_and(|(bus, select)| is_number(bus) && is_number(select)) {
            return Err(usage("names no bus and chip select".into()));
        }
        let mut given = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if !NAMES.contains(&name) {
                return Err(usage(format!("has an option '{name}' that is not known ({})", NAMES.join(", "))));
            }
            if given.iter().any(|(other, _)| *other == name) {
                return Err(usage(format!("has '{name}' twice")));
            }
            given.push((name, value));
        }
        let value = |name: &str| given.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        let names = CONTROLLERS.map(|(name, ..)| name).join(", ");
        let known = value("display").and_then(|name| CONTROLLERS.into_iter().find(|(other, ..)| *other == name));
        let (_, controller, whole) = known.ok_or_else(|| usage(format!("names no display that is known ({names})")))?;
        let read = |name: &str| value(name).map(|text| (name.to_owned(), text.to_owned()));
        let wrong = |(name, text): (String, String)| usage(format!("has {name}={text}, which means nothing"));
        let number = |name: &str| read(name).map(|given| given.1.parse().map_err(|_| wrong(given))).transpose();
        let pair = |name: &str, sign: char, default: (u16, u16)| {
            let Some(given) = read(name) else { return Ok(default) };
            let sides = given.1.split_once(sign).and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            sides.ok_or_else(|| wrong(given))
        };
        let switch = |name: &str, off: &str, on: &str, default: bool| match read(name) {
            None => Ok(default),
            Some((_, text)) if text == on => Ok(true),
            Some((_, text)) if text == off => Ok(false),
            Some(given) => Err(wrong(given)),
        };
        let megahertz: Option<u32> = number("mhz")?;
        let hertz = megahertz.unwrap_or(32).checked_mul(1_000_000).filter(|hertz| *hertz > 0);
        let chip = value("chip").unwrap_or("gpiochip0");
        let rotation = value("rotate").map_or(Some(Rotation::None), Rotation::from_degrees);
        Ok(Self {
            place: place.into(),
            controller,
            size: pair("size", 'x', whole)?,
            offset: pair("offset", ',', (0, 0))?,
            chip: if chip.starts_with('/') { chip.into() } else { format!("/dev/{chip}").into() },
            dc: number("dc")?.ok_or_else(|| usage("does not say which line tells data from commands (dc=)".into()))?,
            reset: number("reset")?,
            backlight: number("backlight")?,
            hertz: hertz.ok_or_else(|| usage("has a clock (mhz) that is none".into()))?,
            // The panels behind this controller are mostly of the kind that shows colours inverted.
            inverted: switch("invert", "off", "on", controller == Controller::St7789)?,
            bgr: switch("order", "rgb", "bgr", false)?,
            rotation: rotation
                .ok_or_else(|| usage("turns pictures by something else than 0, 90, 180 or 270".into()))?,
        })
    }

    /// The device of the bus.
    pub(super) fn device(&self) -> String {
        format!("/dev/spidev{}", self.place)
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        format!("the display on spi://{}", self.place)
    }
}

const NAMES: [&str; 11] =
    ["display", "size", "offset", "chip", "dc", "reset", "backlight", "mhz", "invert", "order", "rotate"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let least = Settings::parse("0.1?display=ili9341&dc=25").unwrap();
        let expected = Settings {
            place: "0.1".into(),
            controller: Controller::Ili9341,
            size: (240, 320),
            offset: (0, 0),
            chip: "/dev/gpiochip0".into(),
            dc: 25,
            reset: None,
            backlight: None,
            hertz: 32_000_000,
            inverted: false,
            bgr: false,
            rotation: Rotation::None,
        };
        assert_eq!((least.device().as_str(), &least), ("/dev/spidev0.1", &expected));
        let most = "10.0?display=st7789&size=240x135&offset=40,53&chip=gpiochip4&dc=9&reset=27&backlight=13&mhz=62&invert=off&order=bgr&rotate=270";
        let expected = Settings {
            place: "10.0".into(),
            controller: Controller::St7789,
            size: (240, 135),
            offset: (40, 53),
            chip: "/dev/gpiochip4".into(),
            dc: 9,
            reset: Some(27),
            backlight: Some(13),
            hertz: 62_000_000,
            inverted: false,
            bgr: true,
            rotation: Rotation::ThreeQuarters,
        };
        assert_eq!(Settings::parse(most).unwrap(), expected);
        assert!(Settings::parse("0.0?display=st7789&dc=1").unwrap().inverted);
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (rest, expected) in [
            ("", "names no bus"),
            ("0?display=st7789&dc=1", "names no bus"),
            ("0.0/../x?display=st7789&dc=1", "names no bus"),
            ("0.0", "names no display that is known (gc9107, gc9a01, ili9341"),
            ("0.0?display=ssd1306&dc=1", "names no display"),
            ("0.0?display=st7789", "(dc=)"),
            ("0.0?display=st7789&dc=x", "dc=x, which means nothing"),
            ("0.0?display=st7789&dc=1&size=240", "size=240"),
            ("0.0?display=st7789&dc=1&invert=yes", "invert=yes"),
            ("0.0?display=st7789&dc=1&mhz=0", "(mhz)"),
            ("0.0?display=st7789&dc=1&mhz=9000", "(mhz)"),
            ("0.0?display=st7789&dc=1&rotate=45", "0, 90, 180 or 270"),
            ("0.0?display=st7789&dc=1&dc=2", "'dc' twice"),
            ("0.0?display=st7789&dc=1&pin=2", "option 'pin'"),
        ] {
            let error = Settings::parse(rest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{rest}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
