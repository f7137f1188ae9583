//! What a network does not know: the first run's labels, and the commands that have to do with it.

use super::*;

/// Records of the clip's frames, by the arguments behind the command.
fn clip(folder: &Path, args: &[&str]) -> Vec<serde_json::Value> {
    let output = densight_camera(folder, &[&["clip://", "json://-", "--no-pace", "-q"], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_first_run_says_what_it_shows_and_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let output = densight_camera(folder.path(), &["--no-pace"]);
    let first = stderr(&output).lines().next().unwrap().to_owned();
    assert!(first.contains("a clip from inside the program") && first.contains("densight-camera 0"), "{first}");
    assert_eq!(stdout(&output).lines().count(), 300);

    let records = clip(folder.path(), &[]);
    let right = |record: &&serde_json::Value| {
        let best = &record["predictions"][0];
        match record["origin"].as_str().unwrap() {
            origin if origin.starts_with("clip:chelsea") => best["accepted"] == true && best["label"] == "cat",
            _ => {
                best["accepted"] == false
                    && record["unknown"]["score"].as_f64() > record["unknown"]["threshold"].as_f64()
            }
        }
    };
    let count = records.iter().filter(right).count();
    assert!(records.len() == 300 && count >= 285, "{count} of {} are right", records.len());
}

#[test]
fn the_threshold_can_be_another() {
    let folder = tempfile::tempdir().unwrap();
    let never = clip(folder.path(), &["--unknown-threshold", "1"]);
    assert!(
        never
            .iter()
            .all(|record| record["predictions"][0]["accepted"] == true && record["unknown"]["threshold"] == 1.0)
    );
    let output = densight_camera(folder.path(), &["clip://", "null://", "--unknown-threshold", "1.5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("unknown-threshold: give a number from 0 to 1"), "{}", stderr(&output));

    let coffee = cat().with_file_name("coffee.jpg");
    let classify =
        |args: &[&str]| stdout(&densight(folder.path(), &[&["classify", coffee.to_str().unwrap()], args].concat()));
    assert!(classify(&[]).lines().nth(1).unwrap().ends_with("%  unknown"), "{}", classify(&[]));
    assert!(!classify(&["--unknown-threshold", "1"]).contains("unknown"));
    let record: serde_json::Value = serde_json::from_str(&classify(&["--json"])).unwrap();
    assert_eq!(record["predictions"][0]["accepted"], false);
    assert!(record["unknown"]["score"].as_f64() > record["unknown"]["threshold"].as_f64());
}

#[test]
fn any_network_learns_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for class in ["rocket", "cat"] {
        std::fs::create_dir_all(at.join("known").join(class)).unwrap();
    }
    std::fs::create_dir_all(at.join("others/x")).unwrap();
    let output = densight_camera(at, &["clip://", "file://%04d.png?overlay=off", "--no-pace", "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for number in (0..300).step_by(4) {
        let name = format!("{number:04}.png");
        let class = ["known/rocket", "others/x", "known/cat"][number / 100];
        std::fs::rename(at.join(&name), at.join(class).join(&name)).unwrap();
    }
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized/qdq-u8/model.onnx");
    let said = |args: &[&str]| densight(at, args);
    let refused = said(&["eval", "known", "--model", model().to_str().unwrap(), "--unknown", "others"]);
    assert_eq!(refused.status.code(), Some(1), "its labels are others: {}", stderr(&refused));
    let made = said(&["unknown", model().to_str().unwrap(), "known", "-o", "told.onnx", "--json"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let report: serde_json::Value = serde_json::from_str(&stdout(&made)).unwrap();
    assert!(report["pictures"].as_u64() > Some(10), "{report}");
    let shown: serde_json::Value = serde_json::from_str(&stdout(&said(&["inspect", "told.onnx", "--json"]))).unwrap();
    let threshold = |of: &serde_json::Value| of["threshold"].as_f64().unwrap();
    assert!((threshold(&shown["unknown"]) - threshold(&report)).abs() < 1e-6, "{shown} {report}");
    assert_eq!(shown["unknown"]["classes"], 2);
    let quantized =
        said(&["quantize", "told.onnx", "--images", "known", "-o", "int8.onnx", "--no-sensitivity", "--check", "0"]);
    assert!(stderr(&quantized).contains("does not tell what it does not know"), "{}", stderr(&quantized));

    // Taught, it is asked for by its own classes' names.
    let taught = said(&["teach", "known", "-o", "mine.onnx"]);
    assert!(stdout(&taught).contains("unknown beyond a score of"), "{}", stdout(&taught));
    let told = said(&["eval", "known", "--model", "mine.onnx", "--unknown", "others"]);
    assert!(
        stdout(&told).contains("not unknown") && stdout(&told).contains("AUROC 1.000"),
        "{}{}",
        stdout(&told),
        stderr(&told)
    );
    let both = said(&["eval", "known", "--model", "mine.onnx", "--unknown", "others", "--against", "mine.onnx"]);
    assert_eq!(both.status.code(), Some(2));
    let over = said(&["unknown", plain.to_str().unwrap(), "known", "-o", "known"]);
    assert_eq!(over.status.code(), Some(2), "{}", stderr(&over));
    let without = said(&["eval", "known", "--model", plain.to_str().unwrap(), "--unknown", "others"]);
    assert_eq!(without.status.code(), Some(1), "{}", stderr(&without));
}
