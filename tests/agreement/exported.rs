//! A small network in the forms that exporters write (`tests/peers/make_exported.py`), against ONNX Runtime.

use std::path::{Path, PathBuf};

use densight::quantize::{Checked, ConcatScales, Method, Options, quantize};
use densight::runtime::{Model, Session, SessionOptions};

use super::{error, npy};

/// Folders of `tests/fixtures/exported`, and the largest difference by largest value: of files in f16 ONNX Runtime rounds what is computed.
const EXPORTED: [(&str, f32); 32] = [
    ("averages-of-padding", 1e-5),
    ("averages-over-the-edge", 1e-5),
    ("averages-without-padding", 1e-5),
    ("bfloat16-weights", 1e-5),
    ("colours-swapped", 1e-5),
    ("condensed", 1e-5),
    ("depthwise", 1e-5),
    ("dilated", 1e-5),
    ("gated", 1e-5),
    ("gelu", 1e-5),
    ("gray", 1e-5),
    ("grouped", 1e-5),
    ("half", 2e-3),
    ("half-with-f32-ends", 2e-3),
    ("halved", 1e-5),
    ("hard-swish", 1e-5),
    ("keras-channels-last", 1e-5),
    ("layer-norm", 1e-5),
    ("leaky-relu", 1e-5),
    ("mirrored", 1e-5),
    ("open-size", 1e-5),
    ("opset-6", 1e-5),
    ("pads-of-nothing", 1e-5),
    ("pads-of-nothing-opset9", 1e-5),
    ("pads-through-quantizers", 1e-5),
    ("prelu", 1e-5),
    ("residual", 1e-5),
    ("residual-with-norms", 1e-5),
    ("shuffled", 1e-5),
    ("silu", 1e-5),
    ("two-outputs", 1e-5),
    ("weights-beside", 1e-5),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exported").join(name)
}

/// How a file is opened, its input in planes, and ONNX Runtime's answer.
fn case(name: &str) -> (PathBuf, SessionOptions, Vec<f32>, Vec<f32>) {
    let (x, shape) = npy::<f32>(&folder(name).join("x.npy"));
    let (truth, _) = npy::<f32>(&folder(name).join("y.npy"));
    let [_, a, b, c] = shape[..] else { panic!("{name}: {shape:?}") };
    let last = ![1, 3].contains(&a);
    let planes = || (0..c).flat_map(|channel| x.iter().skip(channel).step_by(c).copied()).collect();
    let size = if last { [a, b] } else { [b, c] };
    let options = SessionOptions { open_size: Some(size), ..Default::default() };
    (folder(name).join("model.onnx"), options, if last { planes() } else { x }, truth)
}

#[test]
fn what_exporters_write_is_run_as_onnx_runtime_does() {
    for (name, limit) in EXPORTED {
        let (path, options, x, truth) = case(name);
        let mut session = Session::open(&path, &options).unwrap();
        let error = error(&session.run(&x).unwrap(), &truth);
        assert!(error <= limit, "{name}: {error}");
    }
    let listed = folder("").read_dir().unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(listed, EXPORTED.len());
}

/// All multiplications are in Densight's kernels.
#[test]
fn no_form_ends_the_network() {
    for (name, _) in EXPORTED {
        let (path, options, ..) = case(name);
        let execution = Session::open(&path, &options).unwrap().execution().unwrap();
        let by_tract = execution
            .nodes
            .iter()
            .filter(|node| node.kernel == densight::runtime::Kernel::Tract && node.macs > 0)
            .count();
        assert_eq!(by_tract, 0, "{name}: {:?}", execution.left);
        assert!(execution.nodes.iter().any(|node| node.macs > 0), "{name}");
    }
}

#[test]
fn every_form_is_quantized() {
    for (name, _) in EXPORTED.iter().filter(|(name, _)| *name != "pads-through-quantizers") {
        let (path, options, x, truth) = case(name);
        let file = Model::open(&path, &options).unwrap().file;
        let asked = Options {
            method: Method::MinMax,
            concat: ConcatScales::Segment,
            max_drop: None,
            sensitivity: false,
            threads: 1,
        };
        let quantized =
            quantize(file, std::slice::from_ref(&x), &Checked::default(), asked, &mut |_, _, _| {}).unwrap();
        let mut session = Session::from_onnx(&quantized.bytes, &options).unwrap();
        let error = error(&session.run(&x).unwrap(), &truth);
        assert!(error <= 0.1, "{name}: {error}");
        assert!(quantized.report.int8_share > 0.99, "{name}: {}", quantized.report.int8_share);
    }
}

/// torchxrayvision's network: one channel, and a sigmoid for each of 18 findings; with operating points these are scaled, but for one
/// without.
#[test]
fn a_chest_network_is_run_as_onnx_runtime_does() {
    for name in ["chest-x-ray", "chest-x-ray-points", "chest-x-ray-points-dynamo"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks").join(name);
        let mut session = Session::open(&folder.join("model.onnx"), &SessionOptions::default()).unwrap();
        let (x, _) = npy::<f32>(&folder.join("x.npy"));
        let (truth, _) = npy::<f32>(&folder.join("y.npy"));
        assert_eq!((session.input_shape(), session.classes()), ([1, 48, 48], 18));
        assert_eq!(session.scores(), densight::model::Scores::Sigmoid, "{name}");
        assert_eq!(session.execution().unwrap().kernel_share(), 1.0, "{name}");
        assert!(error(&session.run(&x).unwrap(), &truth) <= 1e-5, "{name}");
        assert_eq!(truth[3] == 0.5, name != "chest-x-ray", "the one without an operating point");
    }
}
