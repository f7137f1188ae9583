//! `densight quantize` and what it tells of what cannot be done.

use serde_json::Value;

use super::bad_input::fails;
use super::*;

/// A folder with a small float model and pictures: three good ones, two that are none.
fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("net.json"), r#"{"growth_rate": 6, "block_config": [2, 2], "num_classes": 3}"#)
        .unwrap();
    let export = densight(folder.path(), &["export", "--config", "net.json", "--seed", "5", "-o", "net.onnx"]);
    assert_eq!(export.status.code(), Some(0), "{}", stderr(&export));
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for (index, name) in ["chelsea.jpg", "coffee.jpg", "rocket.jpg"].into_iter().enumerate() {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip").join(name);
        std::fs::copy(from, pictures.join(format!("{index}.jpg"))).unwrap();
    }
    std::fs::write(pictures.join("bad.jpg"), "this is no picture").unwrap();
    std::fs::write(pictures.join("worse.png"), "").unwrap();
    folder
}

fn quantize(folder: &Path, more: &[&str]) -> Output {
    densight(folder, &[&["quantize", "net.onnx", "--images", "pictures", "-o", "int8.onnx"], more].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_float_model_becomes_an_int8_one() {
    let folder = workshop();
    let output = quantize(folder.path(), &["--json", "--html", "report.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["samples"], &report["int8_share"]), (&3.into(), &1.0.into()));
    let skipped: Vec<&str> =
        report["skipped"].as_array().unwrap().iter().map(|s| s["picture"].as_str().unwrap()).collect();
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].ends_with("bad.jpg") && skipped[1].ends_with("worse.png"), "{skipped:?}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("ranges come from 3 pictures only") && warnings.contains("2 pictures could not be read"));
    assert!(std::fs::read_to_string(folder.path().join("report.html")).unwrap().contains("features.conv0"));

    let inspect = |model: &str, percent: &str| {
        densight(folder.path(), &["inspect", model, "--executed", "--require-int8", percent, "--json"])
    };
    let inspected = inspect("int8.onnx", "100");
    assert_eq!(inspected.status.code(), Some(0), "{}", stderr(&inspected));
    let found: Value = serde_json::from_str(&stdout(&inspected)).unwrap();
    let executed = &found["executed"];
    assert_eq!((&executed["int8_share"], &executed["float_convolutions"]), (&1.0.into(), &0.into()));
    fails(&inspect("net.onnx", "95"), 3, &["0.0 % of the multiply-adds are in int8", "95 % are required"]);
}

#[test]
fn what_cannot_be_quantized_is_one_line_and_leaves_nothing() {
    let folder = workshop();
    let before = names(folder.path());
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let run = |args: &[&str]| densight(folder.path(), &[&["quantize"], args].concat());
    let to = ["-o", "int8.onnx"];
    fails(&run(&[&["net.onnx", "--images", "empty"], &to[..]].concat()), 1, &["no picture in empty"]);
    fails(&run(&[&["net.onnx", "--images", "missing"], &to[..]].concat()), 1, &["missing", "no such file"]);
    fails(&run(&[&["missing.onnx", "--images", "pictures"], &to[..]].concat()), 1, &["missing.onnx"]);
    fails(&run(&["net.onnx", "--images", "pictures", "-o", "net.onnx"]), 2, &["would replace the float one"]);
    fails(&run(&["net.onnx", "--images", "pictures", "-o", "no/such/x.onnx"]), 1, &["no/such/x.onnx", "folder"]);
    fails(&quantize(folder.path(), &["--max-drop", "0.1", "--check", "0"]), 2, &["--check"]);
    fails(&quantize(folder.path(), &["--max-drop", "0.1"]), 2, &["--max-drop needs pictures besides the 3"]);
    let bad = folder.path().join("bad");
    std::fs::create_dir(&bad).unwrap();
    std::fs::copy(folder.path().join("pictures/bad.jpg"), bad.join("a.jpg")).unwrap();
    fails(
        &run(&[&["net.onnx", "--images", "bad"], &to[..]].concat()),
        1,
        &["none of the 1 pictures of bad can be read"],
    );

    let mut weights = std::fs::read(folder.path().join("net.onnx")).unwrap();
    let one = weights.windows(4).position(|four| four == 1.0_f32.to_le_bytes()).unwrap();
    weights[one..one + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(folder.path().join("nan.onnx"), weights).unwrap();
    fails(&run(&[&["nan.onnx", "--images", "pictures"], &to[..]].concat()), 1, &["nan.onnx", "holds NaN"]);

    for extra in ["empty", "bad", "nan.onnx"] {
        let path = folder.path().join(extra);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    assert_eq!(names(folder.path()), before);
    assert_eq!(quantize(folder.path(), &["--samples", "1"]).status.code(), Some(0), "one picture is enough");
    let again = ["int8.onnx", "--images", "pictures", "-o", "again.onnx"];
    fails(&run(&again), 1, &["int8.onnx", "the model is quantized already"]);
}
