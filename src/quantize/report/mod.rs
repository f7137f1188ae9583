//! placeholder replaced by the report branch
#![allow(missing_docs)]
use serde::Serialize;
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub model: String,
    pub method: String,
    pub samples: usize,
    pub skipped: Vec<Skipped>,
    pub equalized: bool,
    pub bias_corrected: bool,
    pub output_sqnr_db: f64,
    pub int8_share: f64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub accuracy: Option<Accuracy>,
    pub kept_float: Vec<String>,
    pub layers: Vec<LayerReport>,
    pub warnings: Vec<String>,
}
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    pub picture: String,
    pub reason: String,
}
#[derive(Debug, Clone, Serialize)]
pub struct Accuracy {
    pub pictures: usize,
    pub labelled: bool,
    pub float_top1: Option<f64>,
    pub int8_top1: Option<f64>,
    pub drop_points: f64,
    pub agreement: f64,
    pub budget_points: Option<f64>,
}
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    pub name: String,
    pub macs: u64,
    pub r#type: String,
    pub weights_sqnr_db: Option<f64>,
    pub result_sqnr_db: Option<f64>,
    pub alone_sqnr_db: Option<f64>,
    pub input_range: [f32; 2],
    pub input_scale: Option<f32>,
    pub clipped: f64,
}
pub fn html(_: &Report) -> String {
    String::new()
}
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", serde_json::to_string_pretty(self).unwrap())
    }
}
