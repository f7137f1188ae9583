//! `densight export`: a network definition with weights as an ONNX file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::network::Network;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::model::{Architecture, Interpolation, Metadata, Preprocessing, ResizeKind, Weights, count, onnx};
use crate::text;

/// Write a network as an ONNX file, with its preprocessing, labels and definition as metadata
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("network").required(true).args(["preset", "config"]))]
pub(super) struct Args {
    #[command(flatten)]
    network: Network,
    /// ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Trained weights (.safetensors, names of the reference implementation or torchvision)
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    weights: Option<PathBuf>,
    /// Seed of random weights, if there are no trained ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// File of class names, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Name of the network [default: the preset's or file's]
    #[arg(long)]
    name: Option<String>,
    /// How pictures are fitted to the input: crop the centre, pad right and bottom (fit), pad all around (letterbox), or stretch (squash)
    #[arg(long, value_name = "KIND", default_value = "crop")]
    resize: Resize,
    /// Share of the shorter side that --resize crop keeps
    #[arg(long, value_name = "SHARE", default_value_t = Preprocessing::default().crop)]
    crop: f64,
    /// Resampling filter; all but nearest are antialiased
    #[arg(long, value_name = "FILTER", default_value = "bilinear")]
    interpolation: Filter,
    /// Mean of red, green, blue, on a scale of 0 to 1
    #[arg(long, value_name = "R,G,B", value_parser = three, default_value = "0.485,0.456,0.406")]
    mean: [f32; 3],
    /// Standard deviation of red, green, blue, on a scale of 0 to 1
    #[arg(long, value_name = "R,G,B", value_parser = three, default_value = "0.229,0.224,0.225")]
    std: [f32; 3],
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Resize {
    Crop,
    Fit,
    Letterbox,
    Squash,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Filter {
    Nearest,
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Runs the command.
///
/// # Errors
/// A definition, weights or labels that cannot be read or do not fit each other, or a file that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some((name, config)) = args.network.config()? else {
        return Err(Error::new(ErrorKind::Usage, "export needs --preset or --config").into());
    };
    let net = Architecture::of(&config)?;
    let weights = match &args.weights {
        Some(path) => Weights::load(path, &net)?,
        None => Weights::init(&net, args.seed),
    };
    let labels = args.labels.as_deref().map(super::model::read_labels).transpose()?;
    let metadata = Metadata {
        name: Some(args.name.clone().unwrap_or(name)),
        config: None,
        preprocessing: Some(args.preprocessing()?),
        labels,
        scores: None,
    };
    let bytes = onnx::export(&config, &weights, &metadata)?;
    files::write(&args.output, |file| file.write_all(&bytes))?;
    report(&args.output, bytes.len(), count(&config)?.parameters)?;
    Ok(ExitCode::SUCCESS)
}

fn report(path: &Path, bytes: usize, parameters: u64) -> Result<()> {
    super::print(&format!("{}: {parameters} parameters, {bytes} bytes\n", text::line(&path.display().to_string())))
}

impl Args {
    fn preprocessing(&self) -> Result<Preprocessing> {
        let preprocessing = Preprocessing {
            resize: match self.resize {
                Resize::Crop => ResizeKind::Crop,
                Resize::Fit => ResizeKind::Fit,
                Resize::Letterbox => ResizeKind::Letterbox,
                Resize::Squash => ResizeKind::Squash,
            },
            interpolation: match self.interpolation {
                Filter::Nearest => Interpolation::Nearest,
                Filter::Bilinear => Interpolation::Bilinear,
                Filter::Bicubic => Interpolation::Bicubic,
                Filter::Lanczos => Interpolation::Lanczos,
            },
            crop: self.crop,
            mean: self.mean,
            std: self.std,
            ..Preprocessing::default()
        };
        preprocessing.check().map_err(|what| Error::new(ErrorKind::Usage, what))?;
        Ok(preprocessing)
    }
}

fn three(text: &str) -> Result<[f32; 3], String> {
    let numbers: Vec<f32> = text
        .split(',')
        .map(|n| n.trim().parse().map_err(|_| format!("'{n}' is not a number")))
        .collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| "three numbers are needed: red,green,blue".into())
}
