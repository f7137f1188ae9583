//! `densight quantize`: a float model as an int8 one.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, ErrorKind, Result};
use crate::eval::{Dataset, Split, outputs_of};
use crate::files;
use crate::frame::RgbImage;
use crate::picture;
use crate::quantize::report::{Skipped, html};
use crate::quantize::{Checked, ConcatScales, Method, Options, Phase, quantize};
use crate::runtime::{Model, Preprocessor, Session, SessionOptions};
use crate::text;

/// Quantize a float model to int8
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Float ONNX model
    model: PathBuf,
    /// Calibration pictures: a folder, a folder with a sub-folder per class, or a packed .npz file
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// ONNX file to write, in QDQ form, which other runtimes run too
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Calibration pictures to use, evenly spaced
    #[arg(long, value_name = "N", default_value = "200")]
    samples: NonZeroUsize,
    /// Calibration method: minmax, percentile, entropy or mse
    #[arg(long, value_name = "METHOD", default_value = "mse")]
    method: Method,
    /// Scales within a concatenation: one per segment, or one for all (shared)
    #[arg(long, value_name = "SCALES", default_value = "segment")]
    concat: ConcatScales,
    /// Accuracy that may be lost, in percentage points; as few layers as possible stay float
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// Do not measure what each layer alone costs, which takes most of the time
    #[arg(long, conflicts_with = "max_drop")]
    no_sensitivity: bool,
    /// Pictures to measure accuracy on, none of those used to calibrate; 0 for none [default: 500, or 2000 with
    /// --max-drop]
    #[arg(long, value_name = "N")]
    check: Option<usize>,
    /// Part of a packed file: train, test or all [default: train]
    #[arg(long)]
    split: Option<Split>,
    /// Also write the report as an HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output_name: super::model::OutputNameArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Compute threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = super::threads::parse)]
    threads: Option<NonZeroUsize>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A model that cannot be quantized, no picture that can be read, a budget that cannot be held, or a file that cannot be
/// written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.max_drop.is_some() && args.check == Some(0) {
        return Err(
            Error::new(ErrorKind::Usage, "--max-drop is measured on the pictures of --check, which is 0").into()
        );
    }
    if super::same_file(&args.model, &args.output) {
        return Err(
            Error::new(ErrorKind::Usage, "the int8 model would replace the float one: name another --output").into()
        );
    }
    for path in [Some(&args.output), args.html.as_ref()].into_iter().flatten() {
        files::check(path)?;
    }
    let writing = exit_unless_writing()?;
    let how = SessionOptions {
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output_name.output_name.clone(),
        ..Default::default()
    };
    let session = super::model::open(Some(&args.model), &how)?;
    let file = Model::open(&args.model, &how)?.file;
    let source = Source::open(args, &session)?;
    let (calibration, checked, skipped) = source.pictures(args, &session)?;
    let told = session.unknown().is_some();
    drop(session);
    let threads = super::threads::or_all(args.threads);
    let options = Options {
        method: args.method,
        concat: args.concat,
        max_drop: args.max_drop,
        sensitivity: !args.no_sensitivity,
        threads,
    };
    let mut bar = Bar::new()?;
    let result = quantize(file, &calibration, &checked, options, &mut |phase, done, all| bar.show(phase, done, all));
    bar.bar.finish_and_clear();
    let mut quantized = result.map_err(|e| e.at(args.model.display()))?;
    let report = &mut quantized.report;
    if !skipped.is_empty() {
        report.warnings.push(format!("{} could not be read and were left out", counted(skipped.len())));
    }
    if source.labels_unknown {
        report.warnings.push("the pictures' classes are not the model's: agreement was measured, not accuracy".into());
    }
    report.skipped = skipped;
    let held = writing.lock().unwrap_or_else(PoisonError::into_inner);
    files::write(&args.output, |file| file.write_all(&quantized.bytes))?;
    if let Some(path) = &args.html {
        files::write(path, |file| file.write_all(html(&quantized.report).as_bytes()))?;
    }
    drop(held);
    if told {
        super::tell(
            "the int8 model does not tell what it does not know, as the float one does: give it that by `densight unknown`",
        );
    }
    if args.json {
        super::print(&(text::json(&quantized.report)? + "\n"))?;
    } else {
        super::print(&quantized.report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(count: usize) -> String {
    if count == 1 { "1 picture".into() } else { format!("{count} pictures") }
}

fn points(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("a number of percentage points from 0 to 100".into()),
    }
}

/// Ctrl-C ends the program at once, but not while a file is being written: whoever holds the lock is waited for.
fn exit_unless_writing() -> anyhow::Result<Arc<Mutex<()>>> {
    let writing = Arc::new(Mutex::new(()));
    let other = writing.clone();
    ctrlc::set_handler(move || {
        let _held = other.lock();
        std::process::exit(i32::from(super::INTERRUPTED));
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(writing)
}

/// Where pictures come from.
struct Source {
    kind: Kind,
    /// Whether there are classes, but not the model's.
    labels_unknown: bool,
}

enum Kind {
    /// Labelled pictures, and the model's output of each class, if that is known.
    Labelled(Dataset, Option<Vec<usize>>),
    /// Picture files.
    Files(Vec<PathBuf>),
}

impl Source {
    fn open(args: &Args, session: &Session) -> Result<Self> {
        let path = &args.images;
        if path.is_dir()
            && let Some(files) = pictures_in(path)?
        {
            return Ok(Self { kind: Kind::Files(files), labels_unknown: false });
        }
        let split = args.split.or_else(|| path.is_file().then_some(Split::Train));
        let data = Dataset::open(path, split)?;
        let labels = session.labels();
        let outputs = outputs_of(&data, labels, session.classes()).ok();
        Ok(Self { labels_unknown: outputs.is_none(), kind: Kind::Labelled(data, outputs) })
    }

    fn len(&self) -> usize {
        match &self.kind {
            Kind::Labelled(data, _) => data.pictures(),
            Kind::Files(files) => files.len(),
        }
    }

    fn picture(&self, index: usize) -> Result<RgbImage> {
        match &self.kind {
            Kind::Labelled(data, _) => data.picture(index),
            Kind::Files(files) => picture::read(&files[index]),
        }
    }

    fn class(&self, index: usize) -> Option<usize> {
        match &self.kind {
            Kind::Labelled(data, outputs) => outputs.as_ref().map(|outputs| outputs[data.class(index)]),
            Kind::Files(_) => None,
        }
    }

    fn name(&self, index: usize) -> String {
        match &self.kind {
            Kind::Labelled(data, _) => format!("{} picture {index}", data.name()),
            Kind::Files(files) => files[index].display().to_string(),
        }
    }

    /// Pictures to calibrate with, others to check with, and those that cannot be read.
    fn pictures(&self, args: &Args, session: &Session) -> Result<(Vec<Vec<f32>>, Checked, Vec<Skipped>)> {
        let shape = session.input_shape();
        let mut preprocessor = Preprocessor::new(session.preprocessing().clone(), shape);
        let mut skipped = Vec::new();
        let mut input = |index: usize, skipped: &mut Vec<Skipped>| {
            let mut values = vec![0.0; shape.iter().product()];
            match self.picture(index).and_then(|image| preprocessor.run(&image, &mut values)) {
                Ok(()) => Some(values),
                Err(error) => {
                    skipped.push(Skipped { picture: self.name(index), reason: error.to_string() });
                    None
                }
            }
        };
        let chosen = evenly(self.len(), args.samples.get());
        let calibration: Vec<Vec<f32>> = chosen.iter().filter_map(|&index| input(index, &mut skipped)).collect();
        if calibration.is_empty() {
            let (count, reason) = (skipped.len(), skipped.first().map_or(String::new(), |s| format!(": {}", s.reason)));
            let message = format!("none of the {count} pictures of {} can be read{reason}", args.images.display());
            return Err(Error::new(ErrorKind::Image, message));
        }
        let others: Vec<usize> = (0..self.len()).filter(|index| chosen.binary_search(index).is_err()).collect();
        let mut checked = Checked::default();
        let check = args.check.unwrap_or(if args.max_drop.is_some() { 2000 } else { 500 });
        for at in evenly(others.len(), check) {
            if let Some(values) = input(others[at], &mut skipped) {
                checked.pictures.push(values);
                checked.classes.push(self.class(others[at]));
            }
        }
        if checked.pictures.is_empty() && args.max_drop.is_some() {
            let message = format!(
                "--max-drop needs pictures besides the {} to calibrate with: give more of them, or fewer --samples",
                calibration.len()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok((calibration, checked, skipped))
    }
}

/// `count` of `all` indices, evenly spaced and in order; all of them if there are not more.
fn evenly(all: usize, count: usize) -> Vec<usize> {
    let count = count.min(all);
    (0..count).map(|i| i * all / count).collect()
}

/// The pictures that lie in a folder itself; `None` if there are none, but sub-folders.
fn pictures_in(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    let unreadable = |e| Error::io(ErrorKind::Io, "read folder", folder, e);
    let mut files = Vec::new();
    let mut folders = false;
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        folders |= path.is_dir();
        if picture::has_picture_name(&path) {
            files.push(path);
        }
    }
    files.sort();
    match (files.is_empty(), folders) {
        (false, _) => Ok(Some(files)),
        (true, true) => Ok(None),
        (true, false) => {
            let message =
                format!("there is no picture in {}: give a folder of JPEG, PNG, WebP or BMP files", folder.display());
            Err(Error::new(ErrorKind::Image, message))
        }
    }
}

/// A progress bar on standard error, where that is a terminal.
struct Bar {
    bar: ProgressBar,
    phase: Option<Phase>,
}

impl Bar {
    fn new() -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{msg:12} {bar:40} {pos}/{len}, {eta} left")?;
        Ok(Self { bar: ProgressBar::new(0).with_style(style), phase: None })
    }

    fn show(&mut self, phase: Phase, done: usize, all: usize) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.bar.reset();
            self.bar.set_message(match phase {
                Phase::Calibration => "calibration",
                Phase::Sensitivity => "sensitivity",
                Phase::Budget => "budget",
            });
        }
        self.bar.set_length(all.max(done) as u64);
        self.bar.set_position(done as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_spread_over_all() {
        assert_eq!(evenly(10, 3), [0, 3, 6]);
        assert_eq!(evenly(2, 5), [0, 1]);
        assert!(evenly(0, 5).is_empty() && evenly(5, 0).is_empty());
    }

    #[test]
    fn points_are_percentages() {
        assert_eq!(points("0.1"), Ok(0.1));
        for text in ["-1", "nan", "101", "", "x"] {
            assert!(points(text).is_err(), "{text}");
        }
    }
}
