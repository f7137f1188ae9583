//! Small graphs that were once answered wrongly or not at all, found by `tests/peers/differential.py`, against ONNX Runtime.

use std::path::Path;

use densight::error::{Error, ErrorKind};
use densight::runtime::{Session, SessionOptions};

use super::{error, npy};

/// Largest difference by largest value that two right runtimes may have: of f32, and where values are rounded to steps.
const FLOAT: f32 = 1e-3;
const QUANTIZED: f32 = 2e-2;

/// Folders of `tests/fixtures/found`: `model.onnx`, `x.npy`, ONNX Runtime's `y.npy`.
const FOUND: [(&str, f32); 40] = [
    ("average-counts-beyond-padding", QUANTIZED),
    ("axes-from-a-cast", QUANTIZED),
    ("blocked-dequantize", FLOAT),
    ("blocked-weights", QUANTIZED),
    ("cast-to-f16-and-back", QUANTIZED),
    ("celu-alpha", FLOAT),
    ("constant-of-higher-rank", FLOAT),
    ("fold-norms-through-quantizer", QUANTIZED),
    ("function-beside-none", FLOAT),
    ("halves-between-scales", QUANTIZED),
    ("halves-of-means", QUANTIZED),
    ("initializers-listed-as-inputs", FLOAT),
    ("log-softmax-between-quantizers", QUANTIZED),
    ("log-softmax-far-apart", FLOAT),
    ("norms-of-computed-constants", FLOAT),
    ("padding-beyond-u8", QUANTIZED),
    ("per-row-scales-behind-quantized-flatten", QUANTIZED),
    ("per-row-scales-of-flattened-map", FLOAT),
    ("pool-spread-over-planes", QUANTIZED),
    ("quantized-values-joined-and-cast", QUANTIZED),
    ("quantized-values-leave-a-region", QUANTIZED),
    ("quantized-to-s16", QUANTIZED),
    ("quantized-to-u16-for-tract", QUANTIZED),
    ("quantizer-behind-float-convolution", QUANTIZED),
    ("quantizer-divides", QUANTIZED),
    ("quantizer-with-output-dtype", QUANTIZED),
    ("scale-from-exp", QUANTIZED),
    ("slice-with-step-behind-convolution", FLOAT),
    ("slice-with-step-behind-padded-convolution", FLOAT),
    ("softmax-between-quantizers", QUANTIZED),
    ("softplus-large", FLOAT),
    ("stale-value-info", FLOAT),
    ("strided-1x1-behind-padded-convolution", FLOAT),
    ("strided-groups-behind-padded-convolution", FLOAT),
    ("tract-const-minus-conv", FLOAT),
    ("transpose-identity-perm", FLOAT),
    ("transposed-weights-in-dense-block", FLOAT),
    ("u8-to-s8", QUANTIZED),
    ("value-info-of-other-extents", FLOAT),
    ("zero-left-by-a-decoder", QUANTIZED),
];

#[test]
fn what_was_found_wrong_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/found");
    let mut wrong: Vec<String> = FOUND
        .iter()
        .filter_map(|&(name, limit)| Some(format!("{name}: {}", fault(&folder.join(name), limit)?)))
        .collect();
    let mut folders: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.retain(|name| !FOUND.iter().any(|(listed, _)| listed == name));
    wrong.extend(folders.into_iter().map(|name| format!("{name}: not listed here")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Folders of `tests/fixtures/refused`, the kind of the error, and what it has to say: the node, and what is wrong with it.
const REFUSED: [(&str, ErrorKind, [&str; 2]); 1] =
    [("wrong-value-info", ErrorKind::Model, ["node same (Einsum): it writes same of [1, 3, 16, 16]", "[1, 3, 8, 8]"])];

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refused");
    for (name, kind, says) in REFUSED {
        let opened = Session::open(&folder.join(name).join("model.onnx"), &SessionOptions::default());
        let error = opened.err().expect(name);
        let said = error.to_string();
        assert_eq!(error.kind(), kind, "{name}: {said}");
        assert!(says.iter().all(|part| said.contains(part)) && !said.contains('\n'), "{name}: {said}");
    }
}

/// What is wrong with the answer to a case.
fn fault(folder: &Path, limit: f32) -> Option<String> {
    let (x, _) = npy::<f32>(&folder.join("x.npy"));
    let (truth, shape) = npy::<f32>(&folder.join("y.npy"));
    let answer = || {
        let mut session = Session::open(&folder.join("model.onnx"), &SessionOptions::default())?;
        Ok::<_, Error>((session.run(&x)?, session.output_shape().to_vec()))
    };
    // The others are to be run all the same.
    match std::panic::catch_unwind(answer) {
        Err(_) => Some("it panicked".into()),
        Ok(Err(refused)) => Some(refused.to_string()),
        Ok(Ok((_, ours))) if ours != shape => Some(format!("extents {ours:?}, not {shape:?}")),
        Ok(Ok((ours, _))) => {
            let error = error(&ours, &truth);
            // NaN is no agreement either.
            (error.is_nan() || error > limit).then(|| format!("off by {error} of the largest value"))
        }
    }
}
