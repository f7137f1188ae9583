//! Parameters, thop's FLOPs and multiply-adds are those that PyTorch and thop count.

use densight::model::{DenseNetConfig, PRESETS, count, preset};
use serde_json::Value;

use super::fixture;

#[test]
fn costs_are_those_of_the_peers() {
    let text = std::fs::read_to_string(fixture("counts.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut presets = 0;
    for entry in &expected {
        let name = entry["name"].as_str().unwrap();
        let config = DenseNetConfig::from_json(&entry["config"].to_string()).unwrap();
        let costs = count(&config).unwrap();
        assert_eq!(costs.parameters, entry["params"], "{name}");
        assert_eq!(costs.flops_thop, entry["thop_flops"], "{name}");
        assert_eq!(costs.macs, entry["macs"], "{name}");
        if let Ok(preset) = preset(name) {
            assert_eq!(count(&preset.config()).unwrap(), costs, "{name} is what its preset says");
            presets += 1;
        }
    }
    assert_eq!(presets, PRESETS.len(), "every preset is compared");
}
