//! What the commands of `densight` print and write.

use densight::model::{DenseNetConfig, PRESETS};
use serde_json::Value;

use super::*;

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_str(&stdout(output)).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_cat_is_a_cat() {
    let cat = cat();
    let found = json(&densight(here(), &["classify", "--json", "--topk", "2", cat.to_str().unwrap()]));
    assert_eq!(found["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(found["predictions"][0]["label"], "cat");
    assert_eq!(found["image"], cat.to_str().unwrap());
}

#[test]
fn presets_are_inspected() {
    for (args, parameters, flops) in [
        (&["densenet121"][..], 7_978_856, 2_897_007_104_u64),
        (&["densenet-bc-100-12"], 769_162, 305_073_372),
        (&["densenet-bc-100-12", "--num-classes", "1000", "--input-size", "224"], 1_108_732, 14_948_769_648),
        (&["densenet-bc-250-24"], 15_324_406, 5_589_729_084),
        (&["densenet-bc-190-40"], 25_624_430, 9_475_395_340),
    ] {
        let found = json(&densight(here(), &[&["inspect", "--json", "--preset"], args].concat()));
        assert_eq!((&found["parameters"], &found["flops_thop"]), (&parameters.into(), &flops.into()), "{args:?}");
        assert!(found["macs"].as_u64().unwrap() < flops);
        let bytes = &found["activation_bytes"];
        assert!(bytes["shared"].as_u64().unwrap() < bytes["separate"].as_u64().unwrap());
    }
    for preset in PRESETS {
        let found = json(&densight(here(), &["inspect", "--json", "--preset", preset.name]));
        let config: DenseNetConfig = serde_json::from_value(found["config"].clone()).unwrap();
        assert_eq!(config, preset.config());
    }
}

#[test]
fn what_is_exported_can_be_inspected_run_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| densight(folder.path(), args);
    std::fs::write(folder.path().join("odd.json"), r#"{"growth_rate": 10, "block_config": [3, 4], "num_classes": 3}"#)
        .unwrap();
    std::fs::write(folder.path().join("labels.txt"), "red\ngreen\nblue\n").unwrap();
    let export = run(&[
        "export",
        "--config",
        "odd.json",
        "--seed",
        "5",
        "--labels",
        "labels.txt",
        "--resize",
        "squash",
        "--mean",
        "0.5,0.5,0.5",
        "-o",
        "odd.onnx",
    ]);
    assert_eq!(export.status.code(), Some(0), "{}", stderr(&export));
    let found = json(&run(&["inspect", "odd.onnx", "--json"]));
    assert_eq!((&found["name"], &found["output"][1]), (&"odd".into(), &3.into()));
    assert_eq!((&found["labels"][1], &found["preprocessing"]["resize"]), (&"green".into(), &"squash".into()));
    assert_eq!((&found["preprocessing"]["mean"][0], &found["config"]["growth_rate"]), (&0.5.into(), &10.into()));

    // Three pictures, the first and the last the same.
    let input = ndarray::Array4::from_shape_fn((3, 3, 32, 32), |(n, c, y, x)| ((n % 2 + c + y * x) % 7) as f32);
    ndarray_npy::write_npy(folder.path().join("x.npy"), &input).unwrap();
    let ran = run(&["run", "odd.onnx", "--input", "x.npy", "--output", "y.npy"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    let output: ndarray::Array2<f32> = ndarray_npy::read_npy(folder.path().join("y.npy")).unwrap();
    assert_eq!(output.shape(), [3, 3]);
    assert!(output.row(0) == output.row(2) && output.row(0) != output.row(1));

    let measured = json(&run(&["bench", "odd.onnx", "--iterations", "3", "--threads", "1", "--json"]));
    for key in ["min_ms", "mean_ms", "p50_ms", "p90_ms", "p99_ms"] {
        assert!(measured[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!((&measured["iterations"], &measured["threads"]), (&3.into(), &1.into()));
}

#[test]
fn a_folder_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("cat")).unwrap();
    std::fs::copy(cat(), folder.path().join("cat/chelsea.jpg")).unwrap();
    let found = json(&densight(folder.path(), &["eval", ".", "--json"]));
    assert_eq!((&found["pictures"], &found["top1"], &found["confusion"][3][3]), (&1.into(), &1.0.into(), &1.into()));
}

#[test]
fn the_machine_is_described() {
    let found = json(&densight(here(), &["doctor", "--json"]));
    assert_eq!(found["arch"], std::env::consts::ARCH);
    assert!(found["logical_cores"].as_u64().unwrap() > 0);
    let text = densight(here(), &["doctor"]);
    assert!(stdout(&text).starts_with("densight") && text.status.success());
    assert!(json(&densight(here(), &["devices", "--json"])).is_array());
}
