//! `densight classify`: the labels of pictures.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use super::log::{self, Level};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Scores;
use crate::output::{Images, SinkOptions};
use crate::overlay;
use crate::picture;
use crate::prediction::{Prediction, StageTimes, UNKNOWN, Unknown};
use crate::runtime::{Classification, Classifier, Device, Session, SessionOptions};
use crate::text;

/// Classify pictures
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pictures: JPEG, PNG, WebP or BMP
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// ONNX or prepared model [default: the embedded CIFAR-10 network]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// File of class names, one per line [default: those in the model]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Classes to show
    #[arg(long, value_name = "K", default_value = "5")]
    topk: NonZeroUsize,
    /// Compute threads
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::threads::parse)]
    threads: NonZeroUsize,
    /// Device to run the network on: cpu, cuda, or auto (cuda if it works, else cpu)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    #[command(flatten)]
    size: super::model::SizeArgs,
    #[command(flatten)]
    output: super::model::OutputArgs,
    #[command(flatten)]
    scores: super::model::ScoreArgs,
    #[command(flatten)]
    unknown: super::model::UnknownArgs,
    #[command(flatten)]
    limits: super::model::LimitArgs,
    /// Write each picture with what speaks for its best class (PNG or JPEG); %d in the name is a number
    #[arg(long, value_name = "FILE")]
    heatmap: Option<String>,
    /// Print one JSON object per picture, one per line
    #[arg(long)]
    json: bool,
}

/// Runs the command. A picture that cannot be read is told of, and the others are labelled all the same; the exit code is
/// then 1.
///
/// # Errors
/// A model that cannot be loaded or fails.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = SessionOptions {
        threads: args.threads.get(),
        device: args.device,
        limits: args.limits.limits()?,
        input_size: args.size.input_size,
        output: args.output.output_name.clone(),
        scores: args.scores.scores,
        heat_maps: args.heatmap.is_some(),
        unknown_threshold: args.unknown.unknown_threshold,
        ..Default::default()
    };
    let mut heat_maps =
        args.heatmap.as_deref().map(|pattern| open_heat_maps(pattern, args.images.len())).transpose()?;
    let mut session = super::model::session(args.model.as_deref(), args.labels.as_deref(), options)?;
    let mut failed = false;
    for path in &args.images {
        let begin = Instant::now();
        let (text, json) = match picture::read(path) {
            Ok(mut image) => {
                let decode = begin.elapsed();
                let result = session.classify(&image, args.topk.get())?;
                if let (Some(pictures), Some(best)) = (&mut heat_maps, result.predictions.first())
                    && let Some(heat) = session.heat_map(image.area(), best.class)?
                {
                    let area = image.area();
                    overlay::draw_heat(&mut image, area, &heat);
                    pictures.write(&image)?;
                }
                let stages = StageTimes { decode, ..result.stages };
                let result = Classification { stages, ..result };
                (text(&session, path, &result), record(&session, path, &result))
            }
            Err(error) => {
                failed = true;
                log::error(Level::Error, &error);
                (String::new(), json!({ "image": path.display().to_string(), "error": error.to_string() }))
            }
        };
        print(args.json, &text, &json)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Where heat maps go.
///
/// # Errors
/// [`ErrorKind::Usage`] for a name without a number where there are several; what is wrong with the name or its folder.
fn open_heat_maps(pattern: &str, pictures: usize) -> Result<Images> {
    let images = Images::open(pattern, &SinkOptions::default())?;
    if pictures > 1 && !images.is_numbered() {
        let message = format!("{pictures} heat maps cannot all be '{pattern}': put %d into its name");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(images)
}

fn print(as_json: bool, text: &str, json: &Value) -> anyhow::Result<()> {
    Ok(if as_json { super::print(&(text::json(json)? + "\n")) } else { super::print(text) }?)
}

fn text(session: &Session, path: &Path, result: &Classification) -> String {
    let mut text = format!("{}\n", text::line(&path.display().to_string()));
    if let Some(unknown) = result.unknown.filter(Unknown::is_unknown) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:5.1}%  {UNKNOWN}", unknown.score * 100.0);
    }
    for prediction in &result.predictions {
        // Writing to a string cannot fail.
        let label = text::name(&prediction.label);
        let _ = match session.scores() {
            Scores::None => writeln!(text, "  {:10.4}  {label}", prediction.score),
            Scores::Softmax | Scores::Sigmoid => writeln!(text, "  {:5.1}%  {label}", prediction.score * 100.0),
        };
    }
    text
}

fn record(session: &Session, path: &Path, result: &Classification) -> Value {
    let Classification { predictions, unknown, stages } = result;
    let accepted = !unknown.is_some_and(|unknown| unknown.is_unknown());
    let scored =
        |p: &Prediction| json!({ "class": p.class, "label": &*p.label, "score": p.score, "accepted": accepted });
    let predictions: Vec<Value> = predictions.iter().map(scored).collect();
    let unknown = unknown.map(|Unknown { score, threshold }| json!({ "score": score, "threshold": threshold }));
    json!({
        "image": path.display().to_string(),
        "model": &*session.name(),
        "model_hash": &*session.hash(),
        "scores": session.scores().to_string(),
        "predictions": predictions,
        "unknown": unknown,
        "stages": {
            "decode_us": stages.decode.as_micros() as u64,
            "preprocess_us": stages.preprocess.as_micros() as u64,
            "inference_us": stages.inference.as_micros() as u64,
            "postprocess_us": stages.postprocess.as_micros() as u64,
        },
    })
}
