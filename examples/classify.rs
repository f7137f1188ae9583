//! Labels an image file with a model file.
//!
//!     cargo run --release --example classify -- photo.jpg [model.onnx]

use std::error::Error;
use std::path::Path;

use densight::{Classifier, Session, SessionOptions, picture};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let image = args.next().ok_or("which image? classify IMAGE [MODEL]")?;
    let model = args.next().unwrap_or_else(|| "models/cifar10_densenet_bc_L40_k12_int8.onnx".into());
    let mut session = Session::open(Path::new(&model), &SessionOptions::default())?;
    let result = session.classify(&picture::read(Path::new(&image))?, 3)?;
    for prediction in &result.predictions {
        println!("{:5.1} %  {}", 100.0 * prediction.score, prediction.label);
    }
    println!("{:.1} ms in the network", 1e3 * result.stages.inference.as_secs_f64());
    Ok(())
}
