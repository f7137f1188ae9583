//! Whatever is wrong is told in one line, with the right exit code, and without a panic.

use std::net::TcpListener;

use super::*;

/// A folder with one of everything that is wrong.
fn trouble() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let good = std::fs::read(model()).unwrap();
    write("empty.onnx", b"");
    write("half.onnx", &good[..good.len() / 2]);
    write("text.onnx", b"this is no model\n");
    write("two-labels.txt", b"cat\ndog\n");
    write("no-picture.jpg", b"this is no picture\n");
    write("empty.jpg", b"");
    write("half.jpg", &std::fs::read(cat()).unwrap()[..20_000]);
    write("rank3.npy", &npy("<f4", "(3, 32, 32)", 3 * 32 * 32 * 4));
    write("small.npy", &npy("<f4", "(1, 3, 16, 16)", 3 * 16 * 16 * 4));
    write("nested.npy", &[b"\x93NUMPY\x01\x00\x20\x00", "[".repeat(32).as_bytes()].concat());
    write("huge.npy", &npy("<f4", "(1000000000, 3, 32, 32)", 3 * 32 * 32 * 4));
    write("double.npy", &npy("<f8", "(1, 3, 32, 32)", 3 * 32 * 32 * 8));
    let mut nan = npy("<f4", "(1, 3, 32, 32)", 3 * 32 * 32 * 4);
    let end = nan.len() - 4;
    nan[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    write("nan.npy", &nan);
    write("typo.json", br#"{"growthrate": 12}"#);
    write("typo.toml", b"topkk = 3\n");
    folder
}

/// A NumPy file of zeros.
fn npy(kind: &str, shape: &str, bytes: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header += "\n";
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header.bytes());
    file.resize(file.len() + bytes, 0);
    file
}

/// Asserts on one line `error: …` that holds all of `parts`, and the exit code.
pub(super) fn fails(output: &Output, code: i32, parts: &[&str]) {
    let said = stderr(output);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((output.status.code(), errors.len()), (Some(code), 1), "{said}");
    for part in parts {
        assert!(errors[0].contains(part), "'{part}' is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn models() {
    let folder = trouble();
    let cat = cat();
    for (name, parts) in [
        ("empty.onnx", ["empty.onnx", "the file is empty"]),
        ("half.onnx", ["half.onnx", "cut short"]),
        ("text.onnx", ["text.onnx", "this is a text file, not ONNX"]),
        ("no-picture.jpg", ["no-picture.jpg", "not ONNX"]),
        ("missing.onnx", ["missing.onnx", "no such file"]),
        (".", ["read .", "directory"]),
    ] {
        for command in [
            vec!["classify", cat.to_str().unwrap(), "--model", name],
            vec!["inspect", name],
            vec!["bench", name],
            vec!["run", name, "--input", "small.npy", "--output", "y.npy"],
        ] {
            fails(&densight(folder.path(), &command), 1, &parts);
        }
        fails(&densight_camera(folder.path(), &["clip://", "null://", "--model", name]), 1, &parts);
    }
}

#[test]
fn weights_that_are_not_finite() {
    let folder = trouble();
    let nan = folder.path().join("nan.onnx");
    let mut bytes = std::fs::read(model()).unwrap();
    // The weights are most of the file: its middle lies in one of them.
    let at = bytes.len() / 2;
    bytes[at..at + 8].copy_from_slice(&[0xff; 8]);
    std::fs::write(&nan, bytes).unwrap();
    fails(&densight(folder.path(), &["inspect", "nan.onnx"]), 1, &["nan.onnx", "features.", "NaN"]);
}

#[test]
fn inputs_of_another_rank() {
    use densight::model::{Architecture, DenseNetConfig, Metadata, Weights, onnx};
    use prost::Message;
    use tract_onnx::pb::{ModelProto, type_proto};

    let folder = trouble();
    let config = DenseNetConfig { block_config: vec![1, 1], ..Default::default() };
    let weights = Weights::init(&Architecture::of(&config).unwrap(), 1);
    let bytes = onnx::export(&config, &weights, &Metadata::default()).unwrap();
    let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let input = &mut proto.graph.as_mut().unwrap().input[0];
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().unwrap().value.as_mut() else { panic!() };
    tensor.shape.as_mut().unwrap().dim.remove(0);
    std::fs::write(folder.path().join("rank3.onnx"), proto.encode_to_vec()).unwrap();
    fails(&densight(folder.path(), &["inspect", "rank3.onnx"]), 1, &["rank3.onnx", "rank 3", "[3, 32, 32]"]);
}

#[test]
fn labels_and_definitions() {
    let folder = trouble();
    let run = |args: &[&str]| densight(folder.path(), args);
    let cat = cat();
    let cat = cat.to_str().unwrap();
    fails(&run(&["classify", cat, "--labels", "two-labels.txt"]), 1, &["2 labels", "10 outputs"]);
    fails(&run(&["classify", cat, "--labels", "empty.onnx"]), 1, &["empty.onnx has no labels"]);
    fails(&run(&["classify", cat, "--labels", "missing.txt"]), 1, &["missing.txt", "no such file"]);
    fails(&run(&["inspect", "--config", "typo.json"]), 1, &["typo.json", "growthrate"]);
    fails(&run(&["inspect", "--preset", "densenet121", "--input-size", "20"]), 1, &["input_size is too small"]);
    fails(&run(&["inspect", "--preset", "densenet121", "--num-classes", "0"]), 1, &["num_classes is 0"]);
    let export = ["export", "--preset", "densenet-bc-40-12", "-o", "x.onnx"];
    fails(&run(&[&export[..], &["--labels", "two-labels.txt"]].concat()), 1, &["2 labels", "10 classes"]);
    fails(&run(&[&export[..], &["--weights", "text.onnx"]].concat()), 1, &["text.onnx", "safetensors"]);
    fails(&run(&[&export[..], &["--std", "0,1,1"]].concat()), 2, &["std must not be 0"]);
    let nowhere = ["export", "--preset", "densenet-bc-40-12", "-o", "no/such/x.onnx"];
    fails(&run(&nowhere), 1, &["cannot write no/such/x.onnx", "create its folder"]);
}

#[test]
fn threads_that_no_machine_needs() {
    let folder = trouble();
    let at_most = "threads at most";
    for command in [
        &["classify", "half.jpg"][..],
        &["run", "half.onnx", "--input", "x.npy", "--output", "y.npy"],
        &["eval", "."],
        &["bench"],
        &["quantize", "half.onnx", "--images", ".", "-o", "q.onnx"],
    ] {
        fails(&densight(folder.path(), &[command, &["--threads", "100000"]].concat()), 2, &["--threads", at_most]);
        fails(&densight(folder.path(), &[command, &["--threads", "0"]].concat()), 2, &["--threads", "from 1"]);
    }
    fails(&densight_camera(folder.path(), &["clip://", "null://", "--threads", "100000"]), 2, &["threads", at_most]);
    fails(&densight_camera(folder.path(), &["clip://", "null://", "--threads", "0"]), 2, &["threads is 0"]);
}

#[test]
fn pictures() {
    let folder = trouble();
    for (name, part) in [
        ("no-picture.jpg", "no JPEG, PNG, WebP or BMP picture"),
        ("empty.jpg", "no JPEG, PNG, WebP or BMP picture"),
        ("half.jpg", "ends before its end marker"),
        ("missing.jpg", "no such file"),
    ] {
        fails(&densight(folder.path(), &["classify", name]), 1, &[name, part]);
        // The others are labelled all the same.
        let output = densight(folder.path(), &["classify", name, cat().to_str().unwrap()]);
        fails(&output, 1, &[name]);
        assert!(stdout(&output).contains("% cat") || stdout(&output).contains("%  cat"), "{}", stdout(&output));
    }
    fails(&densight_camera(folder.path(), &["no-picture.jpg", "null://"]), 1, &["none of 1 pictures"]);
}

#[test]
fn tensors() {
    let folder = trouble();
    let model = model();
    let run =
        |input: &str| densight(folder.path(), &["run", model.to_str().unwrap(), "--input", input, "--output", "y.npy"]);
    fails(&run("rank3.npy"), 1, &["rank3.npy", "[N, channels, height, width]"]);
    fails(&run("small.npy"), 1, &["small.npy", "[3, 16, 16]", "[3, 32, 32]"]);
    fails(&run("double.npy"), 1, &["double.npy", "values of type <f8 instead of f4"]);
    fails(&run("nested.npy"), 1, &["nested.npy", "its header is not one of an array"]);
    fails(&run("huge.npy"), 1, &["huge.npy", "12288 bytes of values where"]);
    fails(&run("nan.npy"), 1, &["nan.npy holds NaN at position 3071"]);
    fails(&run("text.onnx"), 1, &["text.onnx"]);
    assert!(!folder.path().join("y.npy").exists());
}

#[test]
fn data_sets() {
    let folder = trouble();
    fails(&densight(folder.path(), &["eval", "missing.npz"]), 1, &["missing.npz", "no such file"]);
    fails(&densight(folder.path(), &["eval", "text.onnx"]), 1, &["text.onnx", ".npz"]);
    fails(&densight(folder.path(), &["eval", "."]), 1, &["no sub-folders"]);
}

#[test]
fn cameras_and_outputs() {
    let folder = trouble();
    let run = |args: &[&str]| densight_camera(folder.path(), args);
    fails(&run(&["/dev/video99"]), 1, &["/dev/video99"]);
    fails(&run(&["gopher://host/stream"]), 2, &["gopher:// is not supported", "v4l2://"]);
    fails(&run(&["missing.jpg"]), 2, &["missing.jpg", "no file, folder or camera"]);
    fails(&run(&["clip://", "gopher://x"]), 2, &["gopher:// is not supported"]);
    fails(&run(&["clip://", "file://no/such/%d.png"]), 1, &["no/such does not exist", "mkdir"]);
    fails(&run(&["clip://", "file://text.onnx/%d.png"]), 1, &["text.onnx"]);
    fails(&run(&["clip://", "null://", "--topk", "0"]), 2, &["topk is 0"]);
    fails(&run(&["clip://", "null://", "--config", "typo.toml"]), 2, &["typo.toml line 1", "topkk"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    fails(&run(&["clip://", &format!("http://127.0.0.1:{port}")]), 1, &[&format!("port {port} is in use")]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_written_to() {
    // Nobody may create files there, not even root.
    let folder = tempfile::tempdir().unwrap();
    let output = densight_camera(folder.path(), &["clip://", "file:///sys/%d.png"]);
    fails(&output, 1, &["cannot write pictures to folder /sys", "permission denied", "choose one"]);
}
