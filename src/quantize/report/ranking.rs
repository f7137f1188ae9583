//! Which layers harm the network most.

use super::{LayerReport, Report};

/// What layers are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// The logits when only that layer is int8.
    Alone,
    /// What the layer computes in the int8 network: says less of the layer itself, since errors of earlier layers count.
    Result,
}

impl Measure {
    /// This measure of a layer, in decibels.
    pub(super) fn of(self, layer: &LayerReport) -> Option<f64> {
        match self {
            Self::Alone => layer.alone_sqnr_db,
            Self::Result => layer.result_sqnr_db,
        }
    }

    /// What it measures, for people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Alone => "SQNR of the logits when only that layer is int8",
            Self::Result => "SQNR of what the layer computes; none was measured on its own",
        }
    }
}

/// The int8 layers that change the output, most harmful first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ranking {
    /// What they are ranked by.
    pub(super) by: Measure,
    /// Their places in [`Report::layers`]; equal ones in the order in which they run.
    pub(super) layers: Vec<usize>,
}

impl Ranking {
    /// Ranks the layers of a report: by their own effect on the logits, or by their results if that was not measured.
    pub(super) fn of(report: &Report) -> Self {
        let is_known = |layer: &LayerReport| layer.is_int8() && layer.alone_sqnr_db.is_some();
        let by = if report.layers.iter().any(is_known) { Measure::Alone } else { Measure::Result };
        let measured = report.layers.iter().enumerate().filter(|(_, layer)| layer.is_int8());
        let measured = measured.filter_map(|(i, layer)| Some((i, by.of(layer)?)));
        let mut harmful: Vec<(usize, f64)> = measured.filter(|&(_, db)| db < f64::INFINITY).collect();
        harmful.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self { by, layers: harmful.into_iter().map(|(i, _)| i).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Precision;
    use super::super::sample::{layer, report};
    use super::*;

    #[test]
    fn the_lowest_comes_first_and_equal_ones_as_they_run() {
        let mut report = report(0);
        let alone = [Some(30.0), Some(20.0), Some(f64::INFINITY), None, Some(20.0), Some(-3.0)];
        report.layers = alone.iter().map(|&db| layer("a", Some(10.0), db)).collect();
        assert_eq!(Ranking::of(&report), Ranking { by: Measure::Alone, layers: vec![5, 1, 4, 0] });
        report.layers[5].r#type = Precision::F32;
        assert_eq!(Ranking::of(&report).layers, [1, 4, 0], "float layers harm nothing");
    }

    #[test]
    fn results_stand_in_for_what_was_not_measured() {
        let mut report = report(0);
        report.layers = [30.0, 10.0, 20.0].iter().map(|&db| layer("a", Some(db), None)).collect();
        assert_eq!(Ranking::of(&report), Ranking { by: Measure::Result, layers: vec![1, 2, 0] });
    }

    #[test]
    fn no_difference_is_no_harm() {
        let mut report = report(0);
        report.layers = vec![layer("a", Some(10.0), Some(f64::INFINITY))];
        assert_eq!(Ranking::of(&report), Ranking { by: Measure::Alone, layers: vec![] });
        report.layers.clear();
        assert!(Ranking::of(&report).layers.is_empty());
    }
}
