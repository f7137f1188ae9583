//! Other people's int8 networks, in all the forms they come in, against the file evaluated operator by operator.

use densight::runtime::{Session, SessionOptions};

use super::npy;

pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Mean cosine between the logits of a model's file and others, over pictures.
fn mean_cosine(logits: &[Vec<f32>], others: &[f32]) -> f64 {
    let classes = logits[0].len();
    logits.iter().zip(others.chunks_exact(classes)).map(|(a, b)| cosine(a, b)).sum::<f64>() / logits.len() as f64
}

#[test]
fn every_form_runs_in_int8_as_the_file_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut session = Session::open(&path.join("model.onnx"), &SessionOptions::default()).unwrap();
        let (x, shape) = npy::<f32>(&path.join("x.npy"));
        let size = shape[1..].iter().product();
        let logits: Vec<Vec<f32>> = x.chunks_exact(size).map(|x| session.run(x).unwrap()).collect();
        let (literal, _) = npy::<f32>(&path.join("literal.npy"));
        let (float, _) = npy::<f32>(&path.join("float.npy"));
        let (ours, to_float) = (mean_cosine(&logits, &literal), mean_cosine(&logits, &float));
        let classes = logits[0].len();
        let literals: Vec<Vec<f32>> = literal.chunks_exact(classes).map(<[f32]>::to_vec).collect();
        let file_to_float = mean_cosine(&literals, &float);
        if ours < 0.99 || to_float < file_to_float - 0.01 {
            wrong.push(format!(
                "{name}: cosine {ours:.4} to the file, {to_float:.4} to float (file {file_to_float:.4})"
            ));
        }
        let execution = session.execution().unwrap();
        if execution.float_convolutions > 0 || execution.int8_convolutions < 5 {
            wrong.push(format!("{name}: {} convolutions in float", execution.float_convolutions));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 8, "the fixtures were found");
}
