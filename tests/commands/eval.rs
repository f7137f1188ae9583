//! `densight eval --against`: a model and its reference.

use serde_json::Value;

use super::bad_input::fails;
use super::*;

/// A folder with three models of the classes red, green and blue that differ in weights and input size, two models of
/// other classes, and pictures of two classes in `set`.
fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("net.json", r#"{"growth_rate": 6, "block_config": [2, 2], "num_classes": 3}"#);
    write("rgb.txt", "red\ngreen\nblue\n");
    write("rbg.txt", "red\nblue\ngreen\n");
    write("two.txt", "red\ngreen\n");
    for (name, more) in [
        ("a.onnx", &["--labels", "rgb.txt", "--seed", "1"][..]),
        ("b.onnx", &["--labels", "rgb.txt", "--seed", "2", "--input-size", "40"]),
        ("bare.onnx", &["--seed", "2", "--input-size", "40"]),
        ("turned.onnx", &["--labels", "rbg.txt"]),
        ("two.onnx", &["--labels", "two.txt", "--num-classes", "2"]),
    ] {
        let export = densight(folder.path(), &[&["export", "--config", "net.json", "-o", name], more].concat());
        assert_eq!(export.status.code(), Some(0), "{}", stderr(&export));
    }
    for (class, name) in [("red", "chelsea.jpg"), ("red", "coffee.jpg"), ("blue", "rocket.jpg")] {
        let to = folder.path().join("set").join(class);
        std::fs::create_dir_all(&to).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip").join(name);
        std::fs::copy(from, to.join(name)).unwrap();
    }
    folder
}

fn eval(folder: &Path, args: &[&str]) -> Value {
    let output = densight(folder, &[&["eval", "set", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// A report without its times, which differ from run to run.
fn timeless(report: &Value) -> Value {
    let mut report = report.clone();
    assert!(report["mean_ms"]["inference"].as_f64().unwrap() > 0.0);
    report.as_object_mut().unwrap().remove("mean_ms");
    report
}

#[test]
fn both_reports_are_those_of_the_models_alone() {
    let folder = workshop();
    let alone = ["a.onnx", "b.onnx"].map(|model| eval(folder.path(), &["--model", model]));
    assert_eq!(timeless(&eval(folder.path(), &["--model", "a.onnx", "--batch", "2"])), timeless(&alone[0]));
    for more in [["--threads", "1"], ["--threads", "2"], ["--batch", "2"]] {
        let found = eval(folder.path(), &[&["--model", "a.onnx", "--against", "b.onnx"], &more[..]].concat());
        assert_eq!(timeless(&found["model"]), timeless(&alone[0]));
        assert_eq!(timeless(&found["reference"]), timeless(&alone[1]));
        let share = |report: &Value| report["top1"].as_f64().unwrap();
        let drop = 100.0 * (share(&alone[1]) - share(&alone[0]));
        assert!((found["top1_drop"].as_f64().unwrap() - drop).abs() < 1e-9, "{found}");
        let differing = found["differing"].as_u64().unwrap();
        assert_eq!(found["differences"].as_array().unwrap().len() as u64, differing);
        assert!((found["agreement"].as_f64().unwrap() - (1.0 - differing as f64 / 3.0)).abs() < 1e-9, "{found}");
    }
}

#[test]
fn a_model_agrees_with_itself_and_lends_its_labels() {
    let folder = workshop();
    let found = eval(folder.path(), &["--model", "b.onnx", "--against", "bare.onnx"]);
    assert_eq!((&found["agreement"], &found["top1_drop"], &found["differing"]), (&1.0.into(), &0.0.into(), &0.into()));
    assert_eq!(found["reference"]["classes"][2]["label"], "blue");
    let table = densight(folder.path(), &["eval", "set", "--model", "b.onnx", "--against", "bare.onnx"]);
    let text = stdout(&table);
    assert!(text.starts_with("model      net (") && text.contains("3 pictures of set: agreement 100.00 %"), "{text}");
}

#[test]
fn models_that_cannot_be_compared_are_one_line() {
    let folder = workshop();
    let run = |args: &[&str]| densight(folder.path(), &[&["eval", "set", "--model", "a.onnx"], args].concat());
    fails(&run(&["--against", "two.onnx"]), 1, &["3 classes", "2: compare models of the same classes"]);
    fails(
        &run(&["--against", "turned.onnx"]),
        1,
        &["output 1 is 'green'", "'blue'", "give one list of labels for both"],
    );
    fails(&run(&["--against", "missing.onnx"]), 1, &["missing.onnx", "no such file"]);
    fails(&run(&["--against", "rgb.txt"]), 1, &["rgb.txt", "not ONNX"]);
    let two_labels = run(&["--against", "b.onnx", "--labels", "two.txt"]);
    fails(&two_labels, 1, &["a.onnx", "2 labels", "3 outputs"]);
    let together = run(&["--against", "turned.onnx", "--labels", "rgb.txt"]);
    assert_eq!(together.status.code(), Some(0), "{}", stderr(&together));
}
