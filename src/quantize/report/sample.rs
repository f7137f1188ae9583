//! Made-up reports for the tests.

use super::{Accuracy, LayerReport, Precision, Report, Skipped};

/// An int8 layer of a name.
pub(super) fn layer(name: &str, result: Option<f64>, alone: Option<f64>) -> LayerReport {
    LayerReport {
        name: name.into(),
        macs: 1_234_567,
        r#type: Precision::Int8,
        weights_sqnr_db: Some(40.0),
        result_sqnr_db: result,
        alone_sqnr_db: alone,
        input_range: [-1.0, 2.0],
        input_scale: Some(0.0118),
        clipped: 0.001,
    }
}

/// A report of so many layers: results get worse from layer to layer; the first layer and every eleventh after it harm
/// more than the others, the fifth harms nothing, and the last one is float if there is more than one.
pub(super) fn report(layers: usize) -> Report {
    let made_up = |i: usize| {
        let wave = 4.0 * (i as f64 * 0.9).sin() + 2.0 * (i as f64 * 2.3).cos();
        let alone = 48.0 + wave - if i.is_multiple_of(11) { 17.0 - i as f64 * 0.05 } else { 0.0 };
        let alone = if i == 4 { f64::INFINITY } else { alone };
        let result = 44.0 - 18.0 * i as f64 / layers as f64 + 0.6 * wave;
        let name = format!("features.denseblock{}.denselayer{}.conv{}", 1 + i / 32, 1 + i / 2 % 16, 1 + i % 2);
        let high = 2.0 + (i % 7) as f32;
        let clipped = if i.is_multiple_of(3) { 0.0 } else { 1e-5 * i as f64 };
        let macs = 1_000_000 + 345_678 * (i as u64 % 9);
        let mut layer = layer(&name, Some(result), Some(alone));
        layer = LayerReport { macs, input_range: [0.0, high], input_scale: Some(high / 255.0), clipped, ..layer };
        if layers > 1 && i == layers - 1 {
            let none = None::<f64>;
            layer = LayerReport { name: "classifier".into(), r#type: Precision::F32, input_scale: None, ..layer };
            (layer.alone_sqnr_db, layer.weights_sqnr_db) = (none, none);
        }
        layer
    };
    let layers: Vec<LayerReport> = (0..layers).map(made_up).collect();
    let is_float = |layer: &&LayerReport| !layer.is_int8();
    Report {
        model: "densenet-bc-100-12".into(),
        method: "entropy".into(),
        samples: 509,
        skipped: ["a.jpg", "b.jpg", "c.png", "d.jpg"].map(skipped).into(),
        equalized: true,
        bias_corrected: false,
        output_sqnr_db: 27.34,
        int8_share: 0.9921,
        bytes_before: 3_210_000,
        bytes_after: 980_000,
        accuracy: Some(Accuracy {
            pictures: 10_000,
            labelled: true,
            float_top1: Some(0.9551),
            int8_top1: Some(0.9536),
            drop_points: 0.15,
            agreement: 0.9912,
            budget_points: Some(0.5),
        }),
        kept_float: layers.iter().filter(is_float).map(|layer| layer.name.clone()).collect(),
        layers,
        warnings: vec!["509 calibration pictures are few".into()],
    }
}

fn skipped(picture: &str) -> Skipped {
    Skipped { picture: format!("pictures/{picture}"), reason: "not a picture that can be decoded".into() }
}
