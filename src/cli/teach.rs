//! `densight teach`: classes of one's own.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::{Error, ErrorKind};
use crate::eval::{Dataset, Split};
use crate::files;
use crate::runtime::SessionOptions;
use crate::teach::{Options, teach};
use crate::text;

/// Teach a network new classes, from a few pictures of each
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with a sub-folder of pictures per class, or packed .npz file
    data: PathBuf,
    /// ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Network whose features are used, as it is [default: the embedded CIFAR-10 network]
    #[arg(long, value_name = "FILE")]
    backbone: Option<PathBuf>,
    /// Views to learn from besides each picture itself: other crops, light, blur; fewer if there are many pictures
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u8).range(0..=50))]
    views: u8,
    /// Mirror some of the views, where left and right make no difference
    #[arg(long)]
    flip: bool,
    /// Shrinkage of the covariance within classes [default: by cross-validation]
    #[arg(long, value_name = "NUMBER")]
    shrinkage: Option<f64>,
    /// Use N pictures at most, evenly spaced
    #[arg(long, value_name = "N", default_value = "2000")]
    limit: NonZeroUsize,
    /// Part of a packed file: train, test or all [default: train]
    #[arg(long)]
    split: Option<Split>,
    #[command(flatten)]
    size: super::model::SizeArgs,
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
/// Pictures that cannot be read, a backbone without features, or a file that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for read in args.backbone.iter().chain([&args.data]) {
        if super::same_file(read, &args.output) {
            let message = format!("the taught model would replace {}: name another --output", read.display());
            return Err(Error::new(ErrorKind::Usage, message).into());
        }
    }
    files::check(&args.output)?;
    let data = pictures(&args.data, args.split, args.limit)?;
    let how = SessionOptions { limits: args.limits.limits()?, input_size: args.size.input_size, ..Default::default() };
    let file = super::model::file(args.backbone.as_deref(), &how)?;
    let threads = super::threads::or_all(args.threads);
    let options = Options { views: args.views.into(), flip: args.flip, shrinkage: args.shrinkage, threads };
    let bar = super::picture_bar(data.pictures())?;
    let taught = teach(&file, &data, options, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let taught = taught?;
    files::write(&args.output, |file| file.write_all(&taught.bytes))?;
    super::print(&if args.json { text::json(&taught.report)? + "\n" } else { taught.report.to_string() })?;
    Ok(ExitCode::SUCCESS)
}

/// Pictures to learn from, at most so many, evenly spaced; of a packed file those to train with unless said otherwise. Tells how many are
/// left out.
///
/// # Errors
/// As [`Dataset::open`].
pub(super) fn pictures(path: &Path, split: Option<Split>, limit: NonZeroUsize) -> crate::error::Result<Dataset> {
    let split = split.or_else(|| path.is_file().then_some(Split::Train));
    let mut data = Dataset::open(path, split)?;
    let all = data.pictures();
    data.limit(limit.get())?;
    if data.pictures() < all {
        super::tell(&format!("{} of {all} pictures are used: --limit takes another number", data.pictures()));
    }
    Ok(data)
}
