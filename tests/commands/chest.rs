//! A chest X-ray network on all its way: one channel and 18 sigmoids as torchxrayvision exports them, quantized, in the camera loop on
//! gray pictures.

use std::collections::HashMap;

use image::{ExtendedColorType, ImageEncoder};
use serde_json::Value;

use super::*;

/// A folder with an exported model and the clip's photographs in gray.
fn workshop(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["model.onnx", "model.toml"] {
        std::fs::copy(root.join("tests/fixtures/networks").join(model).join(name), folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("gray")).unwrap();
    for name in ["chelsea", "coffee", "rocket"] {
        let photo = densight::picture::read(&root.join(format!("src/camera/clip/{name}.jpg"))).unwrap();
        let (width, height) = (photo.width, photo.height);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let gray: Vec<u8> = pixels.map(|(x, y)| photo.pixel(x, y)[1]).collect();
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.write_image(&gray, width, height, ExtendedColorType::L8).unwrap();
        std::fs::write(folder.path().join(format!("gray/{name}.png")), png).unwrap();
    }
    folder
}

/// The score of each label.
fn scores(record: &Value) -> HashMap<String, f64> {
    let of = |p: &Value| (p["label"].as_str().unwrap().to_owned(), p["score"].as_f64().unwrap());
    record["predictions"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn several_findings_at_a_time_reach_the_camera_loop() {
    ["chest-x-ray", "chest-x-ray-points"].into_iter().for_each(reach_the_camera_loop);
}

fn reach_the_camera_loop(model: &str) {
    let folder = workshop(model);
    let quantized = densight(folder.path(), &["quantize", "model.onnx", "--images", "gray", "-o", "int8.onnx"]);
    assert_eq!(quantized.status.code(), Some(0), "{}", stderr(&quantized));
    let args = ["gray", "json://-", "file://p_%d.png", "--model", "int8.onnx", "--topk", "18", "-q"];
    let output = densight_camera(folder.path(), &args);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let records: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3);
    for record in &records {
        let origin = record["origin"].as_str().unwrap();
        let float = densight(folder.path(), &["classify", origin, "--model", "model.onnx", "--topk", "18", "--json"]);
        let float: Value = serde_json::from_str(&stdout(&float)).unwrap();
        assert_eq!(float["scores"], "sigmoid");
        let (found, right) = (scores(record), scores(&float));
        assert_eq!((found.len(), right.len()), (18, 18), "each label once");
        let far = right.iter().map(|(label, score)| (found[label] - score).abs()).fold(0.0, f64::max);
        assert!(far < 0.05, "{origin}: {far}");
        assert!(found.values().filter(|&&score| score > 0.5).count() > 1, "several are true: {found:?}");
        assert!(found.contains_key("Pleural_Thickening"));
    }
    assert!(folder.path().join("p_0.png").exists() && folder.path().join("p_2.png").exists());
}

#[test]
fn a_table_of_findings_is_evaluated_label_by_label() {
    let folder = workshop("chest-x-ray");
    let table = "picture,Edema,Mass\nchelsea.png,1,0\ncoffee.png,0,1\nrocket.png,1,\n";
    std::fs::write(folder.path().join("gray/findings.csv"), table).unwrap();
    let eval = |more: &[&str]| {
        densight(folder.path(), &[&["eval", "gray/findings.csv", "--model", "model.onnx"], more].concat())
    };
    let output = eval(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let labels = report["labels"].as_array().unwrap();
    let counts: Vec<_> =
        labels.iter().map(|l| (l["label"].as_str(), l["positives"].as_u64(), l["negatives"].as_u64())).collect();
    assert_eq!(counts, [(Some("Edema"), Some(2), Some(1)), (Some("Mass"), Some(1), Some(1))]);
    assert!(labels.iter().all(|label| label["auc"].is_number() && label["average_precision"].is_number()));
    let shown = stdout(&eval(&[]));
    assert!(shown.contains("3 pictures: mean AUC ") && shown.contains("Edema"), "{shown}");
    bad_input::fails(&eval(&["--scores", "softmax"]), 2, &["of which one label is true", "--scores sigmoid"]);
    bad_input::fails(&eval(&["--against", "model.onnx"]), 2, &["--against"]);
}
