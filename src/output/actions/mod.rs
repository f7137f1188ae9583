//! What is done when a state changes: each in a thread of its own, which can neither delay the camera loop nor end it. What it cannot
//! keep up with is lost, and counted.
//!
//! | action | what it does |
//! |---|---|
//! | [`Webhook`] | sends the event to a web server |
//! | [`Command`] | runs a program |
//! | [`Record`] | keeps pictures |
//! | [`Gpio`] | sets a line of the board |
//! | [`Mqtt`] | tells a broker |

#[cfg(unix)]
mod command;
#[cfg(all(target_os = "linux", feature = "gpio"))]
mod gpio;
#[cfg(feature = "mqtt")]
mod mqtt;
mod on;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "webhook")]
mod webhook;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Sink, SinkOptions};
use crate::error::{Error, ErrorKind, Result};
pub use on::On;

/// Something that is done for events.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sends them to a web server.
    Webhook(Webhook),
    /// Runs a program for each.
    Command(Command),
    /// Keeps pictures of them.
    Record(Record),
    /// Sets a line of the board.
    Gpio(Gpio),
    /// Tells a broker.
    Mqtt(Mqtt),
}

/// Sends each event to a web server, by `POST`, as JSON: `schema` (1), `event` as in the records of `json://`, `model`, and `picture` (the
/// frame as JPEG in base64) where that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Webhook {
    /// Where to: `http://HOST:PORT/PATH`, or `https://`.
    pub url: String,
    /// Whether the picture goes with it.
    #[serde(default)]
    pub picture: bool,
    /// For which events.
    #[serde(default)]
    pub on: On,
}

/// Runs a program for each event, never two at once. Environment variables say what happened: `DENSIGHT_REGION`, `DENSIGHT_LABEL`,
/// `DENSIGHT_ACTIVE` (1 or 0), `DENSIGHT_SCORE`, `DENSIGHT_TIME` (microseconds since 1970).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// The program and its arguments. No shell sees them.
    pub run: Vec<String>,
    /// Seconds after which it is ended.
    #[serde(default = "ten")]
    pub timeout: f64,
    /// For which events.
    #[serde(default)]
    pub on: On,
}

/// Keeps pictures of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// The folder that they are put into; it is made if only itself is missing.
    pub folder: PathBuf,
    /// Their names in it, without the ending: what `strftime` knows (`%Y-%m-%d/%H%M%S`), `{region}` and `{label}`.
    #[serde(default = "dated")]
    pub name: String,
    /// One picture, or a Motion JPEG clip.
    #[serde(default)]
    pub kind: Kind,
    /// Whether labels are drawn on them.
    #[serde(default)]
    pub overlay: bool,
    /// Seconds of a clip before the event.
    #[serde(default = "three")]
    pub before: f64,
    /// Seconds of a clip behind the last event.
    #[serde(default = "three")]
    pub after: f64,
    /// Frames a second of a clip at most.
    #[serde(default = "five")]
    pub rate: f64,
    /// Mebibytes that all recordings may take; the oldest ones give way.
    #[serde(default = "a_gibibyte")]
    pub max_size: u64,
    /// Days that a recording is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<f64>,
    /// Mebibytes that stay free on the disk; the oldest recordings give way.
    #[serde(default = "a_hundred")]
    pub min_free: u64,
    /// For which events.
    #[serde(default)]
    pub on: On,
}

/// What a recording is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The frame of the event.
    #[default]
    Picture,
    /// The frames around it.
    Clip,
}

/// Sets a line of the board's GPIO active while a label holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gpio {
    /// The chip that has the line, where that is named by number: `gpiochip0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<String>,
    /// The line: its number, or its name on whatever chip.
    pub line: LineName,
    /// Whether the line is low when it is active.
    #[serde(default)]
    pub active_low: bool,
    /// The region; the first one where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The label.
    pub label: String,
}

/// What a line is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LineName {
    /// By number, on a chip.
    Number(u32),
    /// By name.
    Name(String),
}

/// Tells an MQTT broker the states of regions, events, and how the camera does; Home Assistant finds them by itself.
///
/// | topic | message |
/// |---|---|
/// | `TOPIC/status` | `online` or `offline` (retained) |
/// | `TOPIC/REGION/state` | the label that holds (retained) |
/// | `TOPIC/REGION/label/LABEL` | `ON` or `OFF`, where each label is true or false by itself (retained) |
/// | `TOPIC/REGION/picture` | the region's picture at its newest event, JPEG (retained) |
/// | `TOPIC/event` | each event as JSON |
/// | `TOPIC/diagnostics` | JSON: `fps`, `latency_ms`, `temperature`, `dropped`, `lost`, `skipped`; every 30 s |
/// | `TOPIC/command` | from others: `snapshot`, `pause`, `resume`, `model FILE` |
/// | `TOPIC/paused` | `ON` or `OFF` (retained) |
/// | `TOPIC/model` | what came of the newest request for a model or settings, JSON (retained) |
/// | `TOPIC/snapshot` | the picture that was asked for, JPEG (retained) |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mqtt {
    /// The broker: `mqtt://USER:PASSWORD@HOST:PORT`, or encrypted `mqtts://`.
    pub url: String,
    /// With `mqtts://`, certificates (PEM) of the authorities that may vouch for the broker; without it, those that browsers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// What topics begin with. Another for each camera: it is its name, too.
    #[serde(default = "densight")]
    pub topic: String,
    /// What Home Assistant's discovery topics begin with; empty: it is not told.
    #[serde(default = "homeassistant")]
    pub discovery: String,
    /// Whether pictures are sent: of a region at each event, and of the frame when somebody asks. Larger ones than 1280 pixels are scaled
    /// down.
    #[serde(default)]
    pub picture: bool,
    /// Whether whoever can write to the broker may pause the camera, ask for a picture if those are sent, and for another model if there is
    /// a folder of those that may be asked for.
    #[serde(default)]
    pub commands: bool,
    /// For which events.
    #[serde(default)]
    pub on: On,
}

/// A region each of whose labels is true or false by itself, and these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EachLabel {
    /// The region's name.
    pub region: Arc<str>,
    /// All labels that its model knows.
    pub labels: Vec<Arc<str>>,
}

fn densight() -> String {
    "densight".into()
}

fn homeassistant() -> String {
    "homeassistant".into()
}

fn ten() -> f64 {
    10.0
}

fn three() -> f64 {
    3.0
}

fn five() -> f64 {
    5.0
}

fn a_gibibyte() -> u64 {
    1024
}

fn a_hundred() -> u64 {
    100
}

fn dated() -> String {
    "%Y-%m-%d/%H%M%S-{region}-{label}".into()
}

impl Action {
    /// Its name in settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Command(_) => "command",
            Self::Record(_) => "record",
            Self::Gpio(_) => "gpio",
            Self::Mqtt(_) => "mqtt",
        }
    }

    /// For which events.
    pub fn on(&self) -> On {
        match self {
            Self::Webhook(Webhook { on, .. })
            | Self::Command(Command { on, .. })
            | Self::Record(Record { on, .. })
            | Self::Mqtt(Mqtt { on, .. }) => on.clone(),
            Self::Gpio(Gpio { region, label, .. }) => {
                On { regions: region.iter().cloned().collect(), labels: vec![label.clone()] }
            }
        }
    }

    /// Starts it. `labels` are those that are true or false each by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for settings that mean nothing, and for what this program was built without; [`ErrorKind::Output`] for a
    /// folder that cannot be written to; [`ErrorKind::Io`] for a file that cannot be read.
    #[cfg_attr(not(feature = "mqtt"), allow(unused_variables, reason = "by features"))]
    pub fn start(self, options: &SinkOptions, labels: &[EachLabel]) -> Result<Box<dyn Sink>> {
        match self {
            #[cfg(feature = "webhook")]
            Self::Webhook(settings) => Ok(Box::new(webhook::Poster::start(settings, options.jpeg_quality)?)),
            #[cfg(not(feature = "webhook"))]
            Self::Webhook(_) => Err(built_without("webhooks", "webhook")),
            #[cfg(unix)]
            Self::Command(settings) => Ok(Box::new(command::Runner::start(settings)?)),
            #[cfg(not(unix))]
            Self::Command(_) => Err(usage("command: programs are run on Unix only".into())),
            #[cfg(all(target_os = "linux", feature = "gpio"))]
            Self::Gpio(settings) => Ok(Box::new(gpio::Switch::start(settings)?)),
            #[cfg(not(all(target_os = "linux", feature = "gpio")))]
            Self::Gpio(_) => Err(built_without("GPIO", "gpio")),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(settings) => Ok(Box::new(mqtt::Broker::start(settings, options, labels)?)),
            #[cfg(not(feature = "mqtt"))]
            Self::Mqtt(_) => Err(built_without("MQTT", "mqtt")),
            #[cfg(feature = "record")]
            Self::Record(settings) => Ok(Box::new(record::Recorder::start(settings, options.jpeg_quality)?)),
            #[cfg(not(feature = "record"))]
            Self::Record(_) => Err(built_without("recordings", "record")),
        }
    }
}

#[cfg(not(all(feature = "webhook", feature = "record", feature = "gpio", feature = "mqtt", target_os = "linux")))]
fn built_without(what: &str, feature: &str) -> Error {
    usage(format!("this program was built without {what}: build it with --features {feature}"))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Letters, digits, `-` and `_` of any name, at most 40, and `_` for the rest: what names of files and topics are made of.
#[cfg(any(feature = "record", feature = "mqtt"))]
fn plain(text: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    text.chars().take(40).map(letter).collect()
}

/// Seconds from a setting.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is no time, or longer than a day.
fn seconds(name: &str, value: f64) -> Result<std::time::Duration> {
    let time = std::time::Duration::try_from_secs_f64(value).ok().filter(|time| time.as_secs() <= 86_400);
    time.ok_or_else(|| usage(format!("{name} is {value}: it must be seconds, from 0 to 86400")))
}
