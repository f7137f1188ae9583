//! `densight inspect --verify`: the kernels beside tract.

use serde_json::Value;

use super::bad_input::fails;
use super::*;

fn verified(folder: &Path, model: &Path) -> Value {
    let output = densight(folder, &["inspect", model.to_str().unwrap(), "--verify", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    found["verified"].clone()
}

#[test]
fn kernels_and_tract_say_the_same_of_one_picture() {
    let folder = tempfile::tempdir().unwrap();
    let float = verified(folder.path(), &model());
    assert_eq!((&float["limit"], &float["same"]), (&0.001.into(), &true.into()), "{float}");
    assert!(float["error"].as_f64().unwrap() < 1e-5, "{float}");
    assert!(float["largest_score"].as_f64().unwrap() > 0.0, "{float}");
    let quantized = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized/residual-qdq/model.onnx");
    let int8 = verified(folder.path(), &quantized);
    assert_eq!((&int8["limit"], &int8["same"]), (&0.25.into(), &true.into()), "{int8}");
    let output = densight(folder.path(), &["inspect", model().to_str().unwrap(), "--verify"]);
    let last = stdout(&output).lines().last().unwrap().to_owned();
    assert!(last.starts_with("kernels and tract give scores that are apart by ") && last.contains("0.001 is allowed"));
}

#[test]
fn a_prepared_model_has_nothing_to_be_verified_with() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = densight(folder.path(), &["prepare", model().to_str().unwrap(), "-o", "m.densight"]);
    assert_eq!(prepared.status.code(), Some(0), "{}", stderr(&prepared));
    for args in [&["inspect", "m.densight", "--verify"][..], &["bench", "m.densight", "--stock"]] {
        fails(&densight(folder.path(), args), 2, &["m.densight", "give the ONNX file to run it in tract alone"]);
    }
}
