//! `densight inspect --reuse`.

use serde_json::Value;

use super::*;

fn uses(folder: &Path, model: &str) -> Vec<Vec<Vec<Option<f64>>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
    let output = densight(folder, &["inspect", path.to_str().unwrap(), "--reuse", "reuse.svg", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let described: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let blocks = described["reuse"].as_array().unwrap().iter();
    let reader = |reader: &Value| serde_json::from_value(reader["uses"].clone()).unwrap();
    blocks.map(|block| block["readers"].as_array().unwrap().iter().map(reader).collect()).collect()
}

#[test]
fn int8_weights_tell_nearly_what_float_ones_do() {
    let folder = tempfile::tempdir().unwrap();
    let float = uses(folder.path(), "cifar10_densenet_bc_L40_k12.onnx");
    let drawing = std::fs::read_to_string(folder.path().join("reuse.svg")).unwrap();
    // Six layers and what is behind them read one source more each; what is behind them reads as many as the last layer, and its result.
    assert_eq!(float.iter().map(Vec::len).collect::<Vec<_>>(), [7; 3]);
    assert_eq!(drawing.matches("<title>").count(), 3 * (1 + 2 + 3 + 4 + 5 + 6 + 7));
    let int8 = uses(folder.path(), "cifar10_densenet_bc_L40_k12_int8.onnx");
    for (float, int8) in float.iter().flatten().flatten().zip(int8.iter().flatten().flatten()) {
        match (float, int8) {
            // Equalization scales channels of the float network before they are quantized.
            (Some(float), Some(int8)) => assert!((float - int8).abs() < 0.1 + 0.15 * float, "{float} {int8}"),
            (float, int8) => assert_eq!(float, int8),
        }
    }
}

#[test]
fn a_model_is_not_drawn_over() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12.onnx");
    std::fs::copy(&from, &model).unwrap();
    let output = densight(folder.path(), &["inspect", "net.onnx", "--reuse", "net.onnx"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would replace the model"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&model).unwrap(), std::fs::read(&from).unwrap());
}
