//! `densight-camera`: labels what a camera sees.

mod actions;
mod changes;
mod health;
mod networks;
mod regions;
mod service;
pub(crate) mod settings;
mod signals;
mod swap;
mod teach;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use super::log::{self, Level};
use super::{INTERRUPTED, tell};
use crate::camera::{self, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::output::actions::{Action, EachLabel};
use crate::output::{self, Sink, SinkOptions};
use crate::picture;
use crate::pipeline::Control;
use crate::pipeline::{self, End, Outcome};
use crate::runtime::Classifier;

use changes::Changes;
use networks::Networks;
use service::Service;
use settings::Settings;
use signals::Signals;
use teach::{Lessons, Material};

/// Label what a camera sees
///
/// Without INPUT it plays a clip that is inside the program, writes one line a frame, and leaves the newest annotated
/// picture in densight.png.
#[derive(Debug, Parser)]
#[command(name = "densight-camera", version, after_help = AFTER)]
pub(super) struct Args {
    /// Where frames come from [default: clip://]
    input: Option<String>,
    /// Where results go [default: -]
    #[arg(value_name = "OUTPUT")]
    outputs: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    /// Settings from a TOML file, named as the options; options given here win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings as they would be used, as TOML, and end
    #[arg(long)]
    print_config: bool,
    /// Print the token that the web page asks for, and end
    #[arg(long)]
    show_token: bool,
    /// Print the SHA-256 of the certificate of a web page at https://, as browsers show it, and end
    #[arg(long)]
    show_fingerprint: bool,
    /// Ask the web page at URL (http://127.0.0.1:8080) whether its program is well, and end: with 0 if it is, else with 1
    #[arg(long, value_name = "URL")]
    health: Option<String>,
    /// Say nothing but warnings and errors: --log warn
    #[arg(short, long, conflicts_with = "log")]
    quiet: bool,
}

const AFTER: &str = "\
Inputs:
  v4l2:///dev/video0, /dev/video0, 0   camera (`densight devices` lists them)
  file://PATH, PATH                    picture, folder, wildcard, .mjpeg, pipe
  -                                    Motion JPEG on standard input (from rpicam-vid, GStreamer)
  http://HOST:PORT/PATH                Motion JPEG of a network camera
  csi://0                              camera of a Raspberry Pi or Jetson (by rpicam-vid, GStreamer)
  rtsp://HOST/PATH, .mp4, .mkv ...     what ffmpeg opens
  exec:COMMAND                         Motion JPEG that a command writes, or with format=yuv420p
                                       size=WxH in front of the command raw pictures
  test://pattern                       moving colour bars
  clip://                              the clip inside the program
Outputs:
  -, terminal://                       one line a frame
  terminal://?changes                  one line where the best label changes
  json://-, json://PATH                one JSON object a line
  file://DIR/NAME_%04d.png, .jpg       annotated pictures; without %d always the newest
  http://127.0.0.1:PORT, https://      web page with the annotated pictures
  fb:///dev/fb0, drm://card0           screen, without a desktop; ?rotate=90 turns pictures
  spi://0.0?display=st7789&dc=25       display without a kernel driver (feature spi)
  null://                              nowhere
With ?overlay=off behind it, an output shows pictures as the camera delivers them.
Only a settings file (--config) has: several regions, each with its own model; rules by which
their states change; what is done when they do; models to be exchanged while it runs
(docs/recipes.md). SIGHUP reads it again.

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 a live input ended by itself, 130 interrupted (Ctrl-C)";

/// What a first run shows, and what comes next.
const FIRST: &str = "a clip from inside the program: a rocket and a cup of coffee, which the network does not know, and a cat; for a camera type: densight-camera 0 http://127.0.0.1:8080";

/// Runs the program.
///
/// # Errors
/// Settings that mean nothing; a model, input or output that cannot be opened or fails.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(url) = &args.health {
        super::print(&format!("{}\n", health::ask(url)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut given = args.settings;
    (given.input, given.outputs) = (args.input, Some(args.outputs).filter(|outputs| !outputs.is_empty()));
    let settings = given.clone().over(args.config.as_deref().map(Settings::read).transpose()?)?;
    if args.print_config {
        super::print(&settings.to_toml()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.show_token {
        super::print(&format!("{}\n", output::token(settings.token_file.as_deref())?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut source_options, mut sink_options, options) = settings.check()?;
    if args.show_fingerprint {
        super::print(&format!("{}\n", output::fingerprint(&sink_options)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(bytes) = settings.max_picture() {
        picture::set_most_memory(bytes);
    }
    log::set_least(if args.quiet { Level::Warn } else { settings.log() });
    if given.input.is_none() && given.model.is_none() && args.config.is_none() {
        tell(FIRST);
    }
    let Signals { stop, reload } = Signals::watch(args.config.is_some())?;
    let networks = Networks::open(&settings)?;
    let (actions, labels) = (actions::actions(&settings, &networks)?, actions::each_labels(&networks));
    for network in &networks.networks {
        let session = network.session();
        tell(&format!("model   {} ({})", session.name(), session.hash()));
    }
    let options = pipeline::Options { regions: networks.regions.clone(), ..options };
    source_options.least = Some(least_size(&networks));
    let source = camera::open(settings.input(), &source_options)?;
    tell(&format!("input   {}", source.describe()));
    sink_options.patient = source.is_live() || source_options.repeat;
    sink_options.control = options.control.clone();
    let mut sinks = sinks(settings.outputs(), (actions, &labels), &sink_options, &*source)?;
    for sink in &sinks {
        tell(&format!("output  {}", sink.describe()));
    }
    let service = Service::new();
    sinks.push(service.sink());
    let lessons = lessons(&settings, &networks, &options.control)?;
    if let Some(lessons) = &lessons {
        sinks.push(lessons.viewer()?);
        options.control.set_teacher(Arc::new(lessons.clone()));
    }
    // Standard input may be the camera.
    let keys = lessons.clone().filter(|_| settings.input() != "-").map(teach::watch).transpose()?.flatten();
    let has_page = settings.outputs().iter().any(|uri| uri.starts_with("http"));
    if lessons.is_some() && keys.is_none() && !has_page {
        log::tell(
            Level::Warn,
            None,
            "teach: there is neither a web page nor a terminal to teach by: add http://127.0.0.1:8080",
        );
    }
    let mut warn = |error: &Error| {
        log::error(Level::Warn, error);
        service.trouble(error);
    };
    let classifiers = networks.models().classifiers;
    let changes = Changes {
        given,
        config: args.config,
        settings,
        networks,
        exchange: options.exchange.clone(),
        control: options.control.clone(),
        service: service.clone(),
        reload,
        teach: lessons.as_ref().map(|lessons| (lessons.region(), lessons.before())),
    };
    let changes = changes.start()?;
    let Outcome { summary, end } = pipeline::run(source, classifiers, sinks, &options, &stop, &mut warn);
    drop((changes, keys));
    if let Some(lessons) = lessons {
        lessons.end();
    }
    #[cfg(unix)]
    camera::end_programs();
    tell(&summary.to_string());
    Ok(match end? {
        End::Stopped => ExitCode::from(INTERRUPTED),
        End::Source | End::Limit | End::Reader => ExitCode::SUCCESS,
    })
}

/// Opens all outputs, and starts what is done for events.
///
/// # Errors
/// What is wrong with one; [`ErrorKind::Usage`] for one that `source` reads, and for two that write to standard output.
fn sinks(
    uris: &[String],
    (actions, labels): (Vec<Action>, &[EachLabel]),
    options: &SinkOptions,
    source: &dyn Source,
) -> Result<Vec<Box<dyn Sink>>> {
    output::check_together(uris)?;
    let mut sinks = uris.iter().map(|uri| output::open(uri, options)).collect::<Result<Vec<_>>>()?;
    for action in actions {
        sinks.push(action.start(options, labels)?);
    }
    match sinks.iter().find_map(|sink| sink.file().filter(|path| source.reads(path))) {
        Some(path) => Err(usage(format!("{} is an input: write somewhere else", path.display()))),
        None => Ok(sinks),
    }
}

/// Classes that are taught, where that is asked for.
///
/// # Errors
/// What is wrong with the folder of pictures, or with the network that is taught on.
fn lessons(settings: &Settings, networks: &Networks, control: &Control) -> Result<Option<Lessons>> {
    let Some(teach) = &settings.teach else { return Ok(None) };
    let number = teach.region(&networks.regions)?;
    let region = &networks.regions[number];
    let own = settings.region.as_deref().and_then(|regions| regions.get(number));
    let kept = teach.kept().exists().then(|| networks.of(region).session().hash());
    let material = Material {
        settings: teach,
        region: region.name.clone(),
        backbone: settings.model_of(own),
        how: settings.session_of(own)?.0,
        threads: settings.loop_threads(),
        kept,
    };
    let lessons = Lessons::open(material, control)?;
    tell(&format!("teach   pictures of {} in {}", region.name, teach.folder.display()));
    Ok(Some(lessons))
}

/// Width and height that a camera's pictures are to have at least: the largest network's, and what people can make something out on.
fn least_size(networks: &Networks) -> (u32, u32) {
    let side = |axis: usize, least: u32| {
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let sides = networks.networks.iter().map(|network| side(network.session().input_shape()[axis]));
        sides.fold(least, u32::max)
    };
    (side(2, camera::LEAST_SIZE.0), side(1, camera::LEAST_SIZE.1))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
