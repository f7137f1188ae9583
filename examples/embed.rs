//! A model inside the program: nothing is read at run time.
//!
//!     cargo run --release --example embed

use densight::{Classifier, RgbImage, Session, SessionOptions};

static MODEL: &[u8] = include_bytes!("../models/cifar10_densenet_bc_L40_k12_int8.onnx");

fn main() -> densight::Result<()> {
    let mut session = Session::from_onnx(MODEL, &SessionOptions::default())?;
    // What a camera driver of your own would deliver: RGB, a byte each.
    let pixels = (0..64 * 48 * 3).map(|i| (i % 256) as u8).collect();
    let image = RgbImage::new(64, 48, pixels);
    let best = &session.classify(&image, 1)?.predictions[0];
    println!("{} ({:.0} %), {} bytes of model", best.label, 100.0 * best.score, MODEL.len());
    Ok(())
}
