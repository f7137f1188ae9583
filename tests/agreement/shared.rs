//! Larger networks and data, which lie beside the project and are not part of it: `cargo test --test agreement -- --ignored` where they do.

use std::path::{Path, PathBuf};

use densight::eval::{Dataset, evaluate};
use densight::runtime::{Session, SessionOptions};
use ndarray_npy::NpzReader;

use super::{error, npy};

/// A file of the shared folder.
fn shared(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    assert!(path.exists(), "../shared/{name} is missing");
    path
}

/// Photographs as the networks' input.
fn inputs(pictures: &Path) -> Vec<Vec<f32>> {
    let (pixels, shape) = npy::<u8>(pictures);
    let area = shape[1] * shape[2];
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let input = |picture: &[u8]| {
        let plane = |c: usize| (0..area).map(move |i| (f32::from(picture[3 * i + c]) / 255.0 - mean[c]) / std[c]);
        (0..3).flat_map(plane).collect()
    };
    pixels.chunks_exact(3 * area).map(input).collect()
}

/// The network's logits of the shared photographs are ONNX Runtime's.
fn agrees(network: &str, pictures: &str, count: usize) {
    let (model, pictures) = (shared(&format!("models/{network}.onnx")), shared(pictures));
    let outputs = shared(&format!("models/{network}.outputs.npz"));
    let mut outputs = NpzReader::new(std::fs::File::open(outputs).unwrap()).unwrap();
    let truth: ndarray::Array2<f32> = outputs.by_name("f32_literal").unwrap();
    let mut session = Session::open(&model, &SessionOptions::default()).unwrap();
    for (input, truth) in inputs(&pictures).iter().zip(truth.outer_iter()).take(count) {
        let error = error(&session.run(input).unwrap(), truth.as_slice().unwrap());
        assert!(error <= 1e-4, "{network}: {error}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn densenet_bc_100_12_is_onnx_runtimes() {
    agrees("densenet_bc100_12", "models/eval_32.npy", 51);
}

#[test]
#[ignore = "needs ../shared"]
fn densenet_121_is_onnx_runtimes() {
    agrees("densenet121", "models/eval_224.npy", 4);
}

/// Logits of an int8 file are those of the file evaluated operator by operator, as far as two correct runtimes agree.
fn agrees_in_int8(network: &str, pictures: &str, count: usize, least: f64) {
    for form in ["qdq_u8", "qdq_s8", "qop_u8"] {
        let model = shared(&format!("models/{network}.{form}.onnx"));
        let (pictures, outputs) = (shared(pictures), shared(&format!("models/{network}.outputs.npz")));
        let mut outputs = NpzReader::new(std::fs::File::open(outputs).unwrap()).unwrap();
        let literal: ndarray::Array2<f32> = outputs.by_name(&format!("{form}_literal")).unwrap();
        let mut session = Session::open(&model, &SessionOptions::default()).unwrap();
        let inputs = inputs(&pictures);
        let cosines = inputs.iter().zip(literal.outer_iter()).take(count).map(|(input, literal)| {
            super::quantized::cosine(&session.run(input).unwrap(), literal.as_slice().unwrap())
        });
        let mean = cosines.sum::<f64>() / count as f64;
        assert!(mean >= least, "{network} {form}: {mean}");
        let execution = session.execution().unwrap();
        assert_eq!((execution.int8_share, execution.float_convolutions), (1.0, 0), "{network} {form}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn int8_networks_are_what_their_files_say() {
    agrees_in_int8("densenet_bc100_12", "models/eval_32.npy", 51, 0.985);
    agrees_in_int8("densenet121", "models/eval_224.npy", 12, 0.98);
}

/// To 0.1 points. The largest float one would take more than a minute: `densight eval` tells.
#[test]
#[ignore = "needs ../shared"]
fn models_are_as_accurate_as_their_cards_say() {
    const CARDS: [(&str, &str, f64); 5] = [
        ("cifar10_densenet_bc_L40_k12", "cifar10_jpeg", 0.8984),
        ("cifar10_densenet_bc_L40_k12_int8", "cifar10_jpeg", 0.8973),
        ("cifar10_densenet_bc_L100_k12_int8", "cifar10_jpeg", 0.9128),
        ("hand_signs_densenet_bc_L40_k12", "signdigits100_jpeg", 1.0),
        ("hand_signs_densenet_bc_L40_k12_int8", "signdigits100_jpeg", 1.0),
    ];
    for (model, data, accuracy) in CARDS {
        let data = shared(&format!("data/{data}.npz"));
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{model}.onnx"));
        let mut session = Session::open(&model, &SessionOptions::default()).unwrap();
        let data = Dataset::open(&data, None).unwrap();
        let labels = session.labels().map(<[_]>::to_vec);
        let report = evaluate(&mut session, labels.as_deref(), 10, &data, |_| {}).unwrap();
        assert!((report.top1 - accuracy).abs() <= 0.001, "{}: {}", model.display(), report.top1);
    }
}
