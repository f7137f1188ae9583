//! The camera loop's settings: options over a file over defaults.

mod live;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::log::Level;
use super::super::threads;
use super::regions::{RegionSettings, StateSettings};
use super::swap::SwapSettings;
use super::teach::TeachSettings;
use super::usage;
use crate::camera::{Flip, Rotation, SourceOptions, Turning};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::PixelFormat;
use crate::output::SinkOptions;
use crate::output::actions::{Command, Gpio, Mqtt, Record, Webhook};
use crate::pipeline::{Options, Region, Trial};
use crate::runtime::{Device, SessionOptions};

/// Every setting as far as it is given; the keys of the file are the options' names.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    #[arg(skip)]
    pub(super) input: Option<String>,
    #[arg(skip)]
    pub(super) outputs: Option<Vec<String>>,
    /// Name of the camera: in its pictures, with the time, in records and on the page
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// ONNX model [default: the one inside the program]
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// File of class names, one per line [default: those in the model]
    #[arg(long, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,
    /// Input height and width, for a model whose input size is dynamic
    #[arg(long, value_name = "HxW")]
    input_size: Option<String>,
    /// Output to use, if the model has several [default: the first]
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// Scores of the classes: softmax (one is true), sigmoid (each may be true), or none (the raw output) [default: from
    /// the model's metadata or the end of its graph]
    #[arg(long, value_name = "KIND")]
    scores: Option<String>,
    /// Score beyond which a picture is unknown, 0 to 1; 1: never [default: the model's, if it tells what it does not know]
    #[arg(long, value_name = "SCORE")]
    unknown_threshold: Option<f32>,
    /// Classes to show [default: 3]
    #[arg(long, value_name = "K")]
    topk: Option<usize>,
    /// Least score of a class that is shown, 0 to 1 [default: 0]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// Share of the past in each score, 0 to 0.9999 [default: 0]
    #[arg(long, value_name = "SHARE")]
    smoothing: Option<f32>,
    /// Show in annotated pictures where the network sees the best class; takes as much time again as the network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    heatmap: Option<bool>,
    /// Part of the picture to classify, after rotation: X,Y,WIDTH,HEIGHT in pixels or percent, with a name in front if
    /// wanted (gate=50%,0%,50%,100%); repeatable [default: all of it]
    #[arg(long, value_name = "[NAME=]RECT")]
    pub(super) region: Option<Vec<RegionSettings>>,
    /// When states change, of regions that do not say so themselves.
    #[arg(skip)]
    pub(super) state: Option<StateSettings>,
    /// What is done for events.
    #[arg(skip)]
    pub(super) webhook: Option<Vec<Webhook>>,
    #[arg(skip)]
    pub(super) command: Option<Vec<Command>>,
    #[arg(skip)]
    pub(super) record: Option<Vec<Record>>,
    #[arg(skip)]
    pub(super) gpio: Option<Vec<Gpio>>,
    #[arg(skip)]
    pub(super) mqtt: Option<Mqtt>,
    /// The folder of models that may be asked for while it runs; without, none may.
    #[arg(skip)]
    pub(super) models: Option<PathBuf>,
    /// Teach classes from the camera, by keys and on the web page: folder of pictures, with a sub-folder for each class (docs/teach.md)
    #[arg(long, value_name = "FOLDER")]
    pub(super) teach: Option<TeachSettings>,
    /// What a model has to stand that takes another's place while it runs.
    #[arg(skip)]
    swap: Option<SwapSettings>,
    /// Width to ask of a camera
    #[arg(long, value_name = "PIXELS")]
    input_width: Option<u32>,
    /// Height to ask of a camera
    #[arg(long, value_name = "PIXELS")]
    input_height: Option<u32>,
    /// Frames a second to ask of a camera, or to play files at
    #[arg(long, value_name = "FPS")]
    input_rate: Option<u32>,
    /// Encoding to ask of a camera: yuyv, uyvy, yvyu, nv12, nv21, i420, rgb24, bgr24, rgb565, grey, y10, y12 or mjpeg
    #[arg(long, value_name = "CODEC")]
    input_codec: Option<PixelFormat>,
    /// Set a camera's control, by the name that `densight devices` lists (exposure_time_absolute=200)
    #[arg(long, value_name = "NAME=VALUE")]
    control: Option<Vec<String>>,
    /// Rotate pictures clockwise by 90, 180 or 270 degrees [default: 0]
    #[arg(long, value_name = "DEGREES")]
    input_rotate: Option<Rotation>,
    /// Mirror pictures, after rotation: none, horizontal, vertical or both (180 degrees) [default: none]
    #[arg(long, value_name = "HOW")]
    input_flip: Option<Flip>,
    /// Start over at the end of files or the clip
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    input_loop: Option<bool>,
    /// Longest wait for a frame of a camera or pipe [default: 5]
    #[arg(long, value_name = "SECONDS")]
    input_timeout: Option<f64>,
    /// End when a camera or a pipe's writer is lost, instead of waiting for it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    no_reconnect: Option<bool>,
    /// Play clip and test pattern as fast as frames are processed, dropping none
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    no_pace: Option<bool>,
    /// Memory that a picture may take while it is decoded [default: a quarter of what there is, at most 1024]
    #[arg(long, value_name = "MIB")]
    max_picture: Option<u64>,
    /// Quality of JPEG pictures, 1 to 100 [default: 85]
    #[arg(long, value_name = "QUALITY")]
    jpeg_quality: Option<u8>,
    /// Another name that the web page may be called by, where a proxy or a container stands in front of it; repeatable
    #[arg(long, value_name = "NAME")]
    allow_host: Option<Vec<String>>,
    /// File of the token that the web page asks for where others than this computer can reach it; made if it is not
    /// there [default: token in the folder for states]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Certificate of a web page at https://, with those of the authorities between, as PEM; taken anew when it changes
    /// [default: one that the program signs itself and keeps beside the token]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE")]
    certificate_key: Option<PathBuf>,
    /// What is told: error, warn (also what goes wrong without ending the program) or info (also what it does) [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<Level>,
    /// Compute threads [default: 1]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu) [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,
    /// Raise a limit on the model: file, nodes, constants, channels, activations or macs (macs=100G,
    /// activations=1GiB)
    #[arg(long, value_name = "NAME=NUMBER")]
    allow: Option<Vec<String>>,
    /// Pictures to run through the network before capturing [default: 2]
    #[arg(long, value_name = "N")]
    warmup: Option<u32>,
    /// Stop after N frames
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Stop after this time
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
}

impl Settings {
    /// Reads a settings file. Paths in it are relative to the working directory, as options are.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read, [`ErrorKind::Usage`] for one that is not understood.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::parse(&crate::files::read_text(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?, path)
    }

    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            usage(format!("{} line {line}: {}", path.display(), e.message())).caused_by(e)
        })
    }

    /// These settings where they are given, else those of `file`, else the defaults.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for values that no TOML holds (not UTF-8).
    pub(super) fn over(self, file: Option<Self>) -> Result<Self> {
        let table = |settings: &Self| toml::Table::try_from(settings).map_err(|e| usage(e.to_string()));
        let mut merged = table(&Self::defaults())?;
        let from_file = file.unwrap_or_default();
        if self.input.is_none() && from_file.input.is_none() && self.outputs.is_none() && from_file.outputs.is_none() {
            merged.insert("outputs".into(), vec!["-", "file://densight.png"].into());
        }
        merged.extend(table(&from_file)?);
        merged.extend(table(&self)?);
        merged.try_into().map_err(|e: toml::de::Error| usage(e.message().to_owned()))
    }

    fn defaults() -> Self {
        let (source, sink, options) = (SourceOptions::default(), SinkOptions::default(), Options::default());
        let region = Region::default();
        Self {
            input: Some("clip://".into()),
            outputs: Some(vec!["-".into()]),
            topk: Some(region.topk),
            threshold: Some(region.threshold),
            smoothing: Some(region.smoothing),
            input_rotate: Some(options.turning.rotation),
            input_flip: Some(options.turning.flip),
            input_loop: Some(source.repeat),
            input_timeout: Some(source.timeout.as_secs_f64()),
            no_reconnect: Some(!source.reconnect),
            no_pace: Some(!source.paced),
            jpeg_quality: Some(sink.jpeg_quality),
            log: Some(Level::Info),
            threads: Some(1),
            device: Some(Device::default()),
            warmup: Some(options.warmup),
            ..Self::default()
        }
    }

    pub(super) fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| usage(e.to_string()))
    }

    /// How models are opened: the main one, or another, which its own metadata alone describe.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the option.
    pub(super) fn session_options(&self, is_main: bool) -> Result<SessionOptions> {
        let common = SessionOptions {
            threads: self.threads()?,
            device: self.device.unwrap_or_default(),
            limits: crate::cli::model::limits(self.allow.as_deref().unwrap_or_default())?,
            heat_maps: self.heatmap.unwrap_or(false),
            unknown_threshold: self.unknown_threshold,
            ..Default::default()
        };
        if self.unknown_threshold.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return Err(usage("unknown-threshold: give a number from 0 to 1".into()));
        }
        if !is_main {
            return Ok(common);
        }
        let size = |text: &String| crate::cli::model::size(text).map_err(|what| usage(format!("input-size: {what}")));
        Ok(SessionOptions {
            input_size: self.input_size.as_ref().map(size).transpose()?,
            output: self.output_name.clone(),
            scores: self.scores.as_deref().map(str::parse).transpose()?,
            ..common
        })
    }

    /// The model's file of a region with these settings; `None` for the model inside the program.
    pub(super) fn model_of<'a>(&'a self, own: Option<&'a RegionSettings>) -> Option<&'a Path> {
        own.and_then(|own| own.model.as_deref()).or(self.model.as_deref())
    }

    /// The files of all models.
    pub(super) fn model_files(&self) -> impl Iterator<Item = &Path> {
        let regions = self.region.iter().flatten().filter_map(|own| own.model.as_deref());
        self.model.as_deref().into_iter().chain(regions)
    }

    /// How the model of a region with these settings is opened, and whether it is the main one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the option.
    pub(super) fn session_of(&self, own: Option<&RegionSettings>) -> Result<(SessionOptions, bool)> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let is_main = self.model_of(own).map(real) == self.model.as_deref().map(real);
        let mut how = self.session_options(is_main)?;
        let scores = own.and_then(|own| own.scores.as_deref()).map(str::parse).transpose()?;
        how.scores = scores.or(how.scores);
        Ok((how, is_main))
    }

    /// What a model has to stand that takes another's place.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the setting.
    pub(super) fn trial(&self) -> Result<Trial> {
        self.swap.as_ref().map_or_else(|| Ok(Trial::default()), SwapSettings::trial).map_err(|e| e.at("swap"))
    }

    /// Threads that each network computes on.
    pub(super) fn loop_threads(&self) -> usize {
        self.threads.unwrap_or(1)
    }

    /// Whether networks compute on the calling thread alone.
    pub(super) fn is_single_threaded(&self) -> bool {
        self.threads.unwrap_or(1) == 1
    }

    /// Bytes that a picture may take, if that is set.
    pub(super) fn max_picture(&self) -> Option<u64> {
        self.max_picture.map(|mib| mib.saturating_mul(1 << 20))
    }

    /// What is told.
    pub(super) fn log(&self) -> Level {
        self.log.unwrap_or(Level::Info)
    }

    /// Where frames come from.
    pub(super) fn input(&self) -> &str {
        self.input.as_deref().unwrap_or("clip://")
    }

    pub(super) fn outputs(&self) -> &[String] {
        self.outputs.as_deref().unwrap_or_default()
    }

    /// The files of certificate and key.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one without the other, and where there is nothing to use them for.
    fn certificate(&self) -> Result<Option<(PathBuf, PathBuf)>> {
        let files = match (&self.certificate, &self.certificate_key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => {
                return Err(usage("certificate is of no use without its key: name it, certificate-key".into()));
            }
            (None, Some(_)) => {
                return Err(usage("certificate-key is of no use without a certificate: name it, certificate".into()));
            }
        };
        if !self.outputs().iter().any(|output| output.starts_with("https://")) {
            return Err(usage(
                "certificate is for an output https://, and there is none: name one, such as https://0.0.0.0:8443"
                    .into(),
            ));
        }
        Ok(Some(files))
    }

    /// Threads that compute.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for none and for more than make sense.
    fn threads(&self) -> Result<usize> {
        let threads = self.threads.unwrap_or(1);
        let wrong = |what| usage(format!("threads is {threads}: {what}"));
        let some = NonZeroUsize::new(threads).ok_or_else(|| wrong("it must be 1 or more".to_owned()))?;
        threads::check(some).map_err(wrong)?;
        Ok(threads)
    }

    /// The regions: those that are named, or all of the frame.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the region and the option.
    pub(super) fn regions(&self) -> Result<Vec<Region>> {
        let default = Region::default();
        let mut whole = Region {
            topk: self.topk.unwrap_or(default.topk),
            threshold: self.threshold.unwrap_or(default.threshold),
            smoothing: self.smoothing.unwrap_or(default.smoothing),
            ..default
        };
        whole.tuning().check()?;
        whole.rules = self.state.as_ref().map(StateSettings::rules).transpose().map_err(|e| e.at("state"))?;
        super::regions::regions(self.region.as_deref().unwrap_or_default(), whole)
    }

    /// # Errors
    /// [`ErrorKind::Usage`] naming what is wrong with what is taught.
    fn check_teach(&self, regions: &[Region]) -> Result<()> {
        let Some(teach) = &self.teach else { return Ok(()) };
        teach.limits()?;
        teach.region(regions)?;
        if self.heatmap.unwrap_or(false) {
            return Err(usage("teach: taught models have no heat maps: leave heatmap out".into()));
        }
        Ok(())
    }

    /// The settings as their users take them.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] naming the option.
    pub(super) fn check(&self) -> Result<(SourceOptions, SinkOptions, Options)> {
        self.threads()?;
        let source = SourceOptions {
            width: self.input_width,
            height: self.input_height,
            least: None,
            rate: self.input_rate,
            codec: self.input_codec,
            controls: self.control.iter().flatten().map(|text| control(text)).collect::<Result<_>>()?,
            repeat: self.input_loop.unwrap_or(false),
            paced: !self.no_pace.unwrap_or(false),
            timeout: seconds("input-timeout", self.input_timeout)?.unwrap_or(SourceOptions::default().timeout),
            reconnect: !self.no_reconnect.unwrap_or(false),
        };
        let sink = SinkOptions::default();
        let sink = SinkOptions {
            jpeg_quality: self.jpeg_quality.unwrap_or(sink.jpeg_quality),
            allow_hosts: self.allow_host.clone().unwrap_or_default(),
            token_file: self.token_file.clone(),
            certificate: self.certificate()?,
            ..sink
        };
        let default = Options::default();
        let options = Options {
            name: self.name.as_deref().map(Into::into),
            turning: Turning {
                rotation: self.input_rotate.unwrap_or_default(),
                flip: self.input_flip.unwrap_or_default(),
            },
            warmup: self.warmup.unwrap_or(default.warmup),
            frames: self.frames,
            duration: seconds("duration", self.duration)?,
            ..default
        };
        let regions = self.regions()?;
        self.trial()?;
        self.check_teach(&regions)?;
        let wrong = |name: &str, value: &dyn std::fmt::Display, expected: &str| {
            Err(usage(format!("{name} is {value}: it must be {expected}")))
        };
        if self.max_picture == Some(0) {
            return wrong("max-picture", &0, "1 or more");
        }
        if options.frames == Some(0) {
            return wrong("frames", &0, "1 or more");
        }
        if self.outputs().is_empty() {
            return Err(usage("outputs is empty: null:// is an output that goes nowhere".into()));
        }
        Ok((source, sink, options))
    }
}

/// Reads settings and checks them; whether they can be used.
#[cfg(fuzzing)]
pub fn fuzz(text: &str) -> bool {
    let settings =
        Settings::parse(text, Path::new("camera.toml")).and_then(|file| Settings::default().over(Some(file)));
    settings.is_ok_and(|settings| settings.check().is_ok() && settings.to_toml().is_ok())
}

/// A control's name and value.
fn control(text: &str) -> Result<(String, i32)> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    parts.ok_or_else(|| usage(format!("control is '{text}': write NAME=VALUE, such as brightness=10")))
}

fn seconds(name: &str, value: Option<f64>) -> Result<Option<Duration>> {
    let refuse = |value: f64| usage(format!("{name} is {value}: it must be seconds above 0"));
    let duration = |value: f64| Duration::try_from_secs_f64(value).ok().filter(|d| !d.is_zero());
    value.map(|value| duration(value).ok_or_else(|| refuse(value))).transpose()
}
