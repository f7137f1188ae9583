//! What became of a network that was quantized: how much of it is int8, what that costs, and which layers cost it.
//!
//! A [`Report`] is plain data. It serializes to JSON for programs, [`Display`](std::fmt::Display) makes a table for a
//! terminal, and [`html()`] makes a page for a browser.
//!
//! SQNR is the signal-to-quantization-noise ratio in decibels: `10 * log10(power of the float values / power of the
//! difference)`. Twenty more is a tenth of the difference. It is `f64::INFINITY` where there is no difference. JSON has no
//! infinity, so there it is `null`, just as for a value that was not measured.

use serde::Serialize;

mod format;
mod html;
mod plot;
mod ranking;
#[cfg(test)]
mod sample;
mod table;

pub use html::html;

/// How quantizing a network went. As JSON: an object with these fields as its keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// How ranges were chosen: `minmax`, `percentile`, `entropy` or `mse`.
    pub method: String,
    /// Number of calibration pictures used.
    pub samples: usize,
    /// Calibration pictures that were not used.
    pub skipped: Vec<Skipped>,
    /// Whether the weights' ranges were equalized between layers before they were quantized.
    pub equalized: bool,
    /// Whether biases make up for the mean of what quantizing changes.
    pub bias_corrected: bool,
    /// SQNR of the logits over the calibration pictures, in decibels; infinite (`null` in JSON) without a difference.
    pub output_sqnr_db: f64,
    /// Share of the multiply-adds that are done in int8, between 0 and 1.
    pub int8_share: f64,
    /// Size of the float model in bytes.
    pub bytes_before: u64,
    /// Size of the int8 model in bytes.
    pub bytes_after: u64,
    /// How both networks classify pictures; `None` where none were given for it.
    pub accuracy: Option<Accuracy>,
    /// Names of the layers that were left in float.
    pub kept_float: Vec<String>,
    /// Every layer, in the order in which they run.
    pub layers: Vec<LayerReport>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// A calibration picture that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where it came from, mostly a path.
    pub picture: String,
    /// Why it was not used, in one line.
    pub reason: String,
}

/// How the float and the int8 network classify the same pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// Number of pictures.
    pub pictures: usize,
    /// Whether their true classes were known. Otherwise only the agreement of the two networks counts.
    pub labelled: bool,
    /// Share of pictures whose most probable class is right in float, between 0 and 1; `None` for unlabelled pictures.
    pub float_top1: Option<f64>,
    /// The same in int8.
    pub int8_top1: Option<f64>,
    /// What int8 loses, in percentage points; negative where it is better. For unlabelled pictures `100 * (1 - agreement)`.
    pub drop_points: f64,
    /// Share of pictures for which both networks have the same most probable class, between 0 and 1.
    pub agreement: f64,
    /// The largest `drop_points` that was allowed, in percentage points; `None` without a limit.
    pub budget_points: Option<f64>,
}

impl Accuracy {
    /// Whether more was lost than was allowed. `drop_points` is a difference of shares, so that what only rounding adds
    /// (a billionth of a point) is not held against it.
    pub fn is_over_budget(&self) -> bool {
        self.budget_points.is_some_and(|budget| self.drop_points > budget + 1e-9)
    }
}

/// What a layer computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Quantized values of 8 bits.
    Int8,
    /// Float.
    F32,
}

impl Precision {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::F32 => "f32",
        }
    }
}

/// One layer. SQNRs are in decibels; infinite (`null` in JSON) without a difference, `None` where not measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its name in the model.
    pub name: String,
    /// Multiply-adds for one picture.
    pub macs: u64,
    /// What it computes in.
    pub r#type: Precision,
    /// SQNR of its weights.
    pub weights_sqnr_db: Option<f64>,
    /// SQNR of what it computes, in the whole int8 network: what earlier layers did to its input counts too.
    pub result_sqnr_db: Option<f64>,
    /// SQNR of the logits when only this layer is int8: its effect on the output. The lower, the more harmful.
    pub alone_sqnr_db: Option<f64>,
    /// Smallest and largest input value that has a code of its own, as calibrated, in the network's f32 values.
    pub input_range: [f32; 2],
    /// F32 values from one code of its input to the next; `None` where its input is not quantized.
    pub input_scale: Option<f32>,
    /// Share of the calibration values that lie outside `input_range`, between 0 and 1.
    pub clipped: f64,
}

impl LayerReport {
    /// Whether it computes in int8.
    pub fn is_int8(&self) -> bool {
        self.r#type == Precision::Int8
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::sample::{layer, report};

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn json_has_the_agreed_keys() {
        let json = serde_json::to_value(report(3)).unwrap();
        let expected = "model method samples skipped equalized bias_corrected output_sqnr_db int8_share bytes_before \
                        bytes_after accuracy kept_float layers warnings";
        assert_eq!(keys(&json), expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(keys(&json["skipped"][0]), ["picture", "reason"]);
        let expected = "pictures labelled float_top1 int8_top1 drop_points agreement budget_points";
        assert_eq!(keys(&json["accuracy"]), expected.split_whitespace().collect::<Vec<_>>());
        let expected = "name macs type weights_sqnr_db result_sqnr_db alone_sqnr_db input_range input_scale clipped";
        assert_eq!(keys(&json["layers"][0]), expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(json["layers"].as_array().unwrap().len(), 3);
        assert_eq!(json["layers"][0]["type"], "int8");
    }

    #[test]
    fn json_stays_valid_without_a_difference() {
        let mut infinite = report(1);
        infinite.output_sqnr_db = f64::INFINITY;
        infinite.layers[0] = layer("a", Some(f64::INFINITY), Some(f64::INFINITY));
        let text = serde_json::to_string(&infinite).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["output_sqnr_db"], Value::Null);
        assert_eq!(json["layers"][0]["alone_sqnr_db"], Value::Null);
    }

    #[test]
    fn rounding_is_not_over_the_budget() {
        let mut accuracy = report(0).accuracy.unwrap();
        accuracy.drop_points = 100.0 * (0.95 - 0.945); // 0.5000000000000004
        for (budget, over) in [(None, false), (Some(0.5), false), (Some(0.49), true), (Some(0.51), false)] {
            accuracy.budget_points = budget;
            assert_eq!(accuracy.is_over_budget(), over, "{budget:?}");
        }
        accuracy.drop_points = -0.1;
        accuracy.budget_points = Some(0.0);
        assert!(!accuracy.is_over_budget(), "better is no loss");
    }
}
