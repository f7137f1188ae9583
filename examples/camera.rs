//! A camera's frames, labelled: one line for each on the terminal.
//!
//!     cargo run --release --example camera -- v4l2:///dev/video0 [model.onnx]
//!
//! Without an argument it labels ten frames of the bundled clip.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use densight::{Session, SessionOptions, SinkOptions, SourceOptions, camera, output, pipeline};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().unwrap_or_else(|| "clip://".into());
    let model = args.next().unwrap_or_else(|| "models/cifar10_densenet_bc_L40_k12_int8.onnx".into());
    let session = Session::open(Path::new(&model), &SessionOptions::default())?;
    let source = camera::open(&uri, &SourceOptions { paced: false, ..Default::default() })?;
    let sinks = vec![output::open("terminal://", &SinkOptions::default())?];
    let frames = (uri == "clip://").then_some(10);
    let options = pipeline::Options { frames, ..Default::default() };
    // Set to true, from a signal handler for example, it ends the loop.
    let stop = AtomicBool::new(false);
    let models = vec![pipeline::shared(session)];
    let outcome = pipeline::run(source, models, sinks, &options, &stop, &mut |warning| eprintln!("{warning}"));
    outcome.end?;
    println!(
        "{} frames, {} dropped in {:.1} s",
        outcome.summary.frames, outcome.summary.dropped, outcome.summary.seconds
    );
    Ok(())
}
