//! Files as exporters write them, through the commands.

use serde_json::Value;

use super::bad_input::fails;
use super::*;

/// A folder with a copy of a case of `tests/fixtures/exported`, and a picture.
fn copied(case: &str) -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for entry in root.join("tests/fixtures/exported").join(case).read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::copy(root.join("src/camera/clip/chelsea.jpg"), folder.path().join("cat.jpg")).unwrap();
    folder
}

const RUN: [&str; 6] = ["run", "model.onnx", "--input", "x.npy", "--output", "y.ours.npy"];
const CLASSIFY: [&str; 5] = ["classify", "cat.jpg", "--model", "model.onnx", "--json"];

fn good(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = densight(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    (stdout(&output), stderr(&output))
}

#[test]
fn it_is_told_which_of_several_outputs_is_taken() {
    let folder = copied("two-outputs");
    let told = good(folder.path(), &RUN).1;
    assert!(told.contains("several outputs, and features is taken") && told.contains("(logits)"), "{told}");
    assert_eq!(told.lines().count(), 1);
    let chosen = good(folder.path(), &[&RUN[..], &["--output-name", "logits"]].concat()).1;
    assert_eq!(chosen, "");
    for option in ["--output", "--output-name"] {
        let (json, told) = good(folder.path(), &[&CLASSIFY[..], &[option, "logits"]].concat());
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["predictions"].as_array().unwrap().len(), told.as_str()), (5, ""));
    }
    let none = densight(folder.path(), &[&CLASSIFY[..], &["--output", "other"]].concat());
    fails(&none, 1, &["no output other", "features, logits"]);
    std::fs::write(folder.path().join("model.toml"), "output = 'logits'\nscores = 'sigmoid'\n").unwrap();
    let (json, told) = good(folder.path(), &CLASSIFY);
    assert!(json.contains(r#""scores":"sigmoid""#) && told.is_empty(), "{json} {told}");
}

#[test]
fn an_open_size_comes_from_the_input_an_option_or_the_sidecar() {
    let folder = copied("open-size");
    good(folder.path(), &RUN);
    fails(&densight(folder.path(), &CLASSIFY), 1, &["no fixed height and width", "--input-size 224x224", "model.toml"]);
    let inspected = |more: &[&str]| {
        let (json, _) = good(folder.path(), &[&["inspect", "model.onnx", "--json"], more].concat());
        serde_json::from_str::<Value>(&json).unwrap()["input"].clone()
    };
    assert_eq!(inspected(&["--input-size", "16x24"]), serde_json::json!([1, 3, 16, 24]));
    good(folder.path(), &[&CLASSIFY[..], &["--input-size", "16"]].concat());
    std::fs::write(folder.path().join("model.toml"), "input_size = [24, 16]\n").unwrap();
    assert_eq!(inspected(&[]), serde_json::json!([1, 3, 24, 16]));
    assert_eq!(inspected(&["--input-size", "16"]), serde_json::json!([1, 3, 16, 16]));
    good(folder.path(), &["prepare", "model.onnx", "-o", "model.densight"]);
    good(folder.path(), &["classify", "cat.jpg", "--model", "model.densight"]);
    good(folder.path(), &RUN);
}

#[test]
fn weights_beside_the_model_are_read_and_watched() {
    let folder = copied("weights-beside");
    let hash = || {
        let (json, _) = good(folder.path(), &["inspect", "model.onnx", "--json"]);
        serde_json::from_str::<Value>(&json).unwrap()["hash"].clone()
    };
    let before = hash();
    good(folder.path(), &RUN);
    good(folder.path(), &["prepare", "model.onnx", "-o", "model.densight"]);
    let prepared = ["classify", "cat.jpg", "--model", "model.densight"];
    good(folder.path(), &prepared);
    let data = folder.path().join("model.onnx.data");
    let mut bytes = std::fs::read(&data).unwrap();
    let all = bytes.len();
    // Another weight of about the same size.
    bytes[2] ^= 1;
    std::fs::write(&data, &bytes).unwrap();
    assert_ne!(hash(), before);
    fails(&densight(folder.path(), &prepared), 1, &["model.onnx.data has changed"]);
    std::fs::write(&data, &bytes[..all - 1]).unwrap();
    fails(&densight(folder.path(), &RUN), 1, &["model.onnx.data has no", "cut short"]);
    std::fs::remove_file(&data).unwrap();
    fails(&densight(folder.path(), &RUN), 1, &["model.onnx.data", "put it beside the model"]);
}

#[test]
fn a_gray_network_labels_pictures_and_is_quantized() {
    let folder = copied("gray");
    let (json, _) = good(folder.path(), &["inspect", "model.onnx", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["input"], &json["preprocessing"]["mean"][0]), (&serde_json::json!([1, 1, 16, 16]), &0.0.into()));
    let (before, _) = good(folder.path(), &CLASSIFY);
    std::fs::write(folder.path().join("model.toml"), "[preprocessing]\nmean = 0.5\nstd = [0.25]\n").unwrap();
    assert_ne!(good(folder.path(), &CLASSIFY).0, before);
    std::fs::create_dir(folder.path().join("pictures")).unwrap();
    std::fs::copy(folder.path().join("cat.jpg"), folder.path().join("pictures/cat.jpg")).unwrap();
    good(folder.path(), &["quantize", "model.onnx", "--images", "pictures", "-o", "int8.onnx", "--check", "0"]);
    good(folder.path(), &["run", "int8.onnx", "--input", "x.npy", "--output", "y.ours.npy"]);
}
