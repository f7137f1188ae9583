//! Quantizes a float model from code, calibrated with image files, and labels the first of them with the result.
//!
//!     cargo run --release --example quantize -- float.onnx int8.onnx a.jpg b.jpg …

use std::error::Error;
use std::path::PathBuf;

use densight::quantize::{Checked, ConcatScales, Method, Options, quantize};
use densight::runtime::{Model, Preprocessor};
use densight::{Classifier, Session, SessionOptions, picture};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (args.next(), args.next()) else {
        return Err("quantize FLOAT.onnx INT8.onnx IMAGE…".into());
    };
    let images = args.map(|path| picture::read(&path)).collect::<Result<Vec<_>, _>>()?;
    let first = images.first().ok_or("which images should it be calibrated with?")?;

    // Images become values of the network's input as the model file says.
    let float = Session::open(&from, &SessionOptions::default())?;
    let shape = float.input_shape();
    let mut preprocessor = Preprocessor::new(float.preprocessing().clone(), shape);
    let mut calibration = vec![vec![0.0; shape.iter().product()]; images.len()];
    for (image, input) in images.iter().zip(&mut calibration) {
        preprocessor.run(image, input)?;
    }

    let options =
        Options { method: Method::Mse, concat: ConcatScales::Segment, max_drop: None, sensitivity: false, threads: 1 };
    let file = Model::open(&from, &SessionOptions::default())?.file;
    let quantized = quantize(file, &calibration, &Checked::default(), options, &mut |_, _, _| {})?;
    std::fs::write(&to, &quantized.bytes)?;

    let mut int8 = Session::from_onnx(&quantized.bytes, &SessionOptions::default())?;
    let best = &int8.classify(first, 1)?.predictions[0];
    println!("{} bytes, {} ({:.0} %)", quantized.bytes.len(), best.label, 100.0 * best.score);
    Ok(())
}
