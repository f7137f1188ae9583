//! What an evaluation of several labels says.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::super::ranking::{auc, average_precision};
use super::super::report::MeanTimes;
use super::super::table::{percent, shortened};
use super::LabelledPictures;
use crate::prediction::StageTimes;
use crate::runtime::Classifier;
use crate::text;

/// How well a model tells which labels pictures have. Shares are between 0 and 1; what has no value is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// The model's name.
    pub model: String,
    /// First 16 hexadecimal digits of the model file's SHA-256.
    pub model_hash: String,
    /// What the pictures came from.
    pub data: String,
    /// Number of pictures.
    pub pictures: u64,
    /// The score from which on a label counts as found.
    pub threshold: f32,
    /// Mean of the labels' `auc`, of those that have one.
    pub mean_auc: Option<f64>,
    /// Mean of the labels' `average_precision`, of those that have one.
    pub mean_average_precision: Option<f64>,
    /// One entry for each label of the data.
    pub labels: Vec<LabelReport>,
    /// Mean time of a picture.
    pub mean_ms: MeanTimes,
}

/// How one label fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// Its name.
    pub label: String,
    /// Pictures that have it, and that have it not; the others are not known.
    pub positives: u64,
    /// As `positives`.
    pub negatives: u64,
    /// Area under the ROC curve: the share of pairs of a picture with the label and one without in which the first scores higher.
    pub auc: Option<f64>,
    /// Area under the curve of precision over recall.
    pub average_precision: Option<f64>,
    /// Share of the pictures with it that score at least the threshold.
    pub recall: Option<f64>,
    /// Share of the pictures that score at least the threshold that have it.
    pub precision: Option<f64>,
}

impl MultiLabelReport {
    /// Of each label's scores and truths, of pictures that took the times `spent` in all.
    pub(super) fn new(
        classifier: &dyn Classifier,
        data: &LabelledPictures,
        threshold: f32,
        judged: &[Vec<(f32, bool)>],
        spent: StageTimes,
    ) -> Self {
        let mean = |time: Duration| time.as_secs_f64() * 1e3 / data.len() as f64;
        let labels: Vec<LabelReport> = data
            .labels()
            .iter()
            .zip(judged)
            .map(|(label, judged)| LabelReport::new(label, judged, threshold))
            .collect();
        let mean_of = |value: fn(&LabelReport) -> Option<f64>| {
            let values: Vec<f64> = labels.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Self {
            model: classifier.name().to_string(),
            model_hash: classifier.hash().to_string(),
            data: data.name().to_owned(),
            pictures: data.len() as u64,
            threshold,
            mean_auc: mean_of(|label| label.auc),
            mean_average_precision: mean_of(|label| label.average_precision),
            labels,
            mean_ms: MeanTimes {
                decode: mean(spent.decode),
                preprocess: mean(spent.preprocess),
                inference: mean(spent.inference),
                postprocess: mean(spent.postprocess),
            },
        }
    }
}

impl LabelReport {
    fn new(label: &str, judged: &[(f32, bool)], threshold: f32) -> Self {
        let count = |of: &dyn Fn(&(f32, bool)) -> bool| judged.iter().filter(|judged| of(judged)).count() as u64;
        let (positives, found) = (count(&|judged| judged.1), count(&|judged| judged.0 >= threshold));
        let right = count(&|judged| judged.1 && judged.0 >= threshold);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Self {
            label: label.to_owned(),
            positives,
            negatives: judged.len() as u64 - positives,
            auc: auc(judged),
            average_precision: average_precision(judged),
            recall: share(right, positives),
            precision: share(right, found),
        }
    }
}

impl fmt::Display for MultiLabelReport {
    /// Means, times, and a line for each label. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let area = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        writeln!(f, "{} ({}) on {}", text::name(&self.model), self.model_hash, text::line(&self.data))?;
        let (auc, precision) = (area(self.mean_auc), area(self.mean_average_precision));
        writeln!(f, "{} pictures: mean AUC {auc}, mean average precision {precision}", self.pictures)?;
        let t = &self.mean_ms;
        writeln!(
            f,
            "mean ms of a picture: decode {:.3}, preprocess {:.3}, inference {:.3}, postprocess {:.3}",
            t.decode, t.preprocess, t.inference, t.postprocess
        )?;
        let names: Vec<String> = self.labels.iter().map(|label| shortened(&label.label)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        writeln!(f, "\nlabels; recall and precision from a score of {} on", self.threshold)?;
        writeln!(f, "{:width$}  with it  without     AUC  avg. precision   recall  precision", "")?;
        for (name, label) in names.iter().zip(&self.labels) {
            let [auc, average] = [label.auc, label.average_precision].map(area);
            let [recall, precision] = [label.recall, label.precision].map(percent);
            let LabelReport { positives, negatives, .. } = label;
            writeln!(
                f,
                "{name:width$}  {positives:>7}  {negatives:>7}  {auc:>6}  {average:>14}  {recall:>7}  {precision:>9}"
            )?;
        }
        Ok(())
    }
}
