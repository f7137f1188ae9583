//! `densight-camera`: labels what a camera sees.

mod service;
pub(crate) mod settings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Parser;

use super::INTERRUPTED;
use crate::camera;
use crate::error::{Error, ErrorKind, Result};
use crate::output;
use crate::picture;
use crate::pipeline::{self, End, Outcome};
use crate::runtime::{Classifier, SessionOptions};

use service::Service;
use settings::Settings;

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
    /// Say nothing but warnings and errors
    #[arg(short, long)]
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
  json://-, json://PATH                one JSON object a line
  file://DIR/NAME_%04d.png, .jpg       annotated pictures; without %d always the newest
  http://127.0.0.1:PORT                web page with the annotated pictures
  fb:///dev/fb0, drm://card0           screen, without a desktop; ?rotate=90 turns pictures
  null://                              nowhere

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 a live input ended by itself, 130 interrupted (Ctrl-C)";

/// Runs the program.
///
/// # Errors
/// Settings that mean nothing; a model, input or output that cannot be opened or fails.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let quiet = args.quiet;
    let mut given = args.settings;
    (given.input, given.outputs) = (args.input, Some(args.outputs).filter(|outputs| !outputs.is_empty()));
    let settings = given.over(args.config.as_deref().map(Settings::read).transpose()?)?;
    if args.print_config {
        super::print(&settings.to_toml()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut source_options, sink_options, options) = settings.check()?;
    if let Some(bytes) = settings.max_picture() {
        picture::set_most_memory(bytes);
    }
    let stop = on_ctrl_c()?;
    let say = |text: &str| {
        if !quiet {
            super::tell(text);
        }
    };
    let (threads, device) = (settings.threads()?, settings.device());
    let how = SessionOptions {
        threads,
        device,
        limits: settings.limits()?,
        input_size: settings.input_size()?,
        output: settings.output_name.clone(),
        scores: settings.scores()?,
        ..Default::default()
    };
    let mut session = super::model::session(settings.model.as_deref(), settings.labels.as_deref(), how)?;
    say(&format!("model   {} ({})", session.name(), session.hash()));
    source_options.least = Some(least_size(session.input_shape()));
    let source = camera::open(settings.input(), &source_options)?;
    say(&format!("input   {}", source.describe()));
    let mut sinks =
        settings.outputs().iter().map(|uri| output::open(uri, &sink_options)).collect::<Result<Vec<_>>>()?;
    for sink in &sinks {
        say(&format!("output  {}", sink.describe()));
    }
    let service = Service::new();
    sinks.push(service.sink());
    let mut warn = |error: &Error| {
        super::tell(&format!("warning: {error}"));
        service.trouble(error);
    };
    let Outcome { summary, end } = pipeline::run(source, &mut session, sinks, &options, &stop, &mut warn);
    #[cfg(unix)]
    camera::end_programs();
    say(&summary.to_string());
    Ok(match end? {
        End::Stopped => ExitCode::from(INTERRUPTED),
        End::Source | End::Limit | End::Reader => ExitCode::SUCCESS,
    })
}

/// Width and height that a camera's pictures are to have at least: the network's, and what people can make something out on.
fn least_size([_, height, width]: [usize; 3]) -> (u32, u32) {
    let side = |pixels: usize, least: u32| u32::try_from(pixels).unwrap_or(u32::MAX).max(least);
    (side(width, 320), side(height, 240))
}

/// A flag that Ctrl-C and a request to terminate raise; the second one ends the program at once.
fn on_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(stop)
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
