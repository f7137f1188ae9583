//! How often magnitudes occur, and where a range is best cut.

use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// How the range of a tensor is chosen from what calibration saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// All values are inside.
    MinMax,
    /// All but one in 10,000 are inside.
    Percentile,
    /// The quantized values' distribution is closest to that of the values (Kullback-Leibler divergence, as TensorRT calibrates).
    Entropy,
    /// The mean squared error of the quantized values is least.
    Mse,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::MinMax, Self::Percentile, Self::Entropy, Self::Mse];

    /// Its name, as it is parsed.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        }
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::Usage, format!("unknown method '{name}': use one of {names}"))
        })
    }
}

const BINS: usize = 2048;

/// Share of the values that [`Method::Percentile`] keeps.
const KEPT: f64 = 0.9999;

/// Counts of magnitudes in equal bins from 0 to a limit that grows with what comes.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    bins: Vec<u64>,
    width: f32,
    greatest: f32,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: vec![0; BINS], width: 0.0, greatest: 0.0 }
    }

    /// Counts some values. Those that are not finite are left out.
    pub(super) fn add(&mut self, values: &[f32]) {
        let greatest = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f32::max);
        self.greatest = self.greatest.max(greatest);
        if self.width == 0.0 && greatest > 0.0 {
            // Zeros that were counted before stay in the first bin.
            self.width = greatest / (BINS - 1) as f32;
        }
        while self.width > 0.0 && greatest >= self.width * BINS as f32 {
            // Twice the range: two bins become one.
            self.bins =
                (0..BINS).map(|i| self.bins.get(2 * i..2 * i + 2).map_or(0, |pair| pair[0] + pair[1])).collect();
            self.width *= 2.0;
        }
        let inverse = if self.width > 0.0 { 1.0 / self.width } else { 0.0 };
        for value in values.iter().filter(|value| value.is_finite()) {
            self.bins[((value.abs() * inverse) as usize).min(BINS - 1)] += 1;
        }
    }

    /// The greatest magnitude that was seen.
    pub(super) fn greatest(&self) -> f32 {
        self.greatest
    }

    /// The magnitude at which the range is cut, for quantized values of `levels` steps from 0 to it.
    pub(super) fn limit(&self, method: Method, levels: usize) -> f32 {
        let limit = match method {
            Method::MinMax => self.greatest,
            Method::Percentile => self.percentile(),
            Method::Entropy => self.least(levels, |bins, cut| divergence(bins, cut, levels)),
            Method::Mse => self.least(levels, |bins, cut| squared_error(bins, cut, levels)),
        };
        limit.min(self.greatest)
    }

    /// Share of the values beyond `limit`.
    pub(super) fn beyond(&self, limit: f32) -> f64 {
        let total: u64 = self.bins.iter().sum();
        if self.width == 0.0 || total == 0 || limit >= self.greatest {
            return 0.0;
        }
        let first = ((limit / self.width).ceil() as usize).min(BINS);
        self.bins[first..].iter().sum::<u64>() as f64 / total as f64
    }

    fn percentile(&self) -> f32 {
        let total: u64 = self.bins.iter().sum();
        let mut left = ((1.0 - KEPT) * total as f64) as u64;
        for (bin, &count) in self.bins.iter().enumerate().rev() {
            if count > left {
                return (bin + 1) as f32 * self.width;
            }
            left -= count;
        }
        self.greatest
    }

    /// The cut of the least cost; candidates are the ends of every 16th bin from `levels` bins on.
    fn least(&self, levels: usize, cost: impl Fn(&[u64], usize) -> f64) -> f32 {
        let used = self.bins.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let first = levels.min(used).max(1);
        let candidates = (first..used).step_by(16).chain([used]).filter(|&cut| cut > 0);
        let best = candidates.map(|cut| (cost(&self.bins, cut), cut)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(self.greatest, |(_, cut)| cut as f32 * self.width)
    }
}

/// Sum of squared errors, in squared bins, when values are cut at bin `cut` and rounded to `levels` steps.
fn squared_error(bins: &[u64], cut: usize, levels: usize) -> f64 {
    let step = cut as f64 / levels as f64;
    let inside = bins[..cut].iter().sum::<u64>() as f64 * step * step / 12.0;
    let outside = bins[cut..].iter().enumerate().map(|(i, &count)| count as f64 * (i as f64 + 0.5).powi(2));
    inside + outside.sum::<f64>()
}

/// Kullback-Leibler divergence between the values cut at bin `cut` and what `levels` quantized values keep of them.
fn divergence(bins: &[u64], cut: usize, levels: usize) -> f64 {
    let mut cut_values: Vec<f64> = bins[..cut].iter().map(|&count| count as f64).collect();
    cut_values[cut - 1] += bins[cut..].iter().sum::<u64>() as f64;
    let total: f64 = cut_values.iter().sum();
    let mut divergence = 0.0;
    for level in 0..levels.min(cut) {
        let range = level * cut / levels.min(cut)..(level + 1) * cut / levels.min(cut);
        // A code stands for all values of its range that occur, equally.
        let occurring = bins[range.clone()].iter().filter(|&&count| count > 0).count();
        let share = bins[range.clone()].iter().sum::<u64>() as f64 / occurring.max(1) as f64;
        for (value, &count) in cut_values[range.clone()].iter().zip(&bins[range]) {
            if *value > 0.0 {
                let kept = if count > 0 { share } else { 1e-3 };
                divergence += value / total * (value / kept).ln();
            }
        }
    }
    // Both are shares: what was cut off is in the last value, but in no code.
    divergence + (bins[..cut].iter().sum::<u64>() as f64 / total).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many small values and one that is far out.
    fn with_outlier() -> Histogram {
        let mut histogram = Histogram::new();
        for batch in 0..2000 {
            let values: Vec<f32> = (0..1000).map(|i| ((i + batch) % 1000) as f32 / 1000.0).collect();
            histogram.add(&values);
        }
        histogram.add(&[-50.0]);
        histogram
    }

    #[test]
    fn every_method_stays_within_what_was_seen() {
        for method in Method::ALL {
            let limit = with_outlier().limit(method, 255);
            assert!((0.5..=50.0).contains(&limit), "{method:?}: {limit}");
            assert_eq!(method.name().parse::<Method>().unwrap(), method);
            assert_eq!(Histogram::new().limit(method, 255), 0.0);
        }
        assert!("kl".parse::<Method>().is_err());
    }

    #[test]
    fn outliers_are_cut_where_that_pays() {
        let histogram = with_outlier();
        assert_eq!(histogram.limit(Method::MinMax, 255), 50.0);
        assert!(histogram.limit(Method::Percentile, 255) < 1.2);
        assert!(histogram.limit(Method::Mse, 255) < 20.0);
        assert!((histogram.beyond(2.0) - 1.0 / 2_000_001.0).abs() < 1e-9);
        assert_eq!(histogram.beyond(50.0), 0.0);
    }

    #[test]
    fn without_outliers_nothing_is_cut() {
        let mut histogram = Histogram::new();
        histogram.add(&[0.0; 10]);
        histogram.add(&(0..10_000).map(|i| i as f32 / 10_000.0).collect::<Vec<_>>());
        assert!(histogram.limit(Method::Mse, 255) > 0.98);
        assert!(histogram.limit(Method::Entropy, 255) > 0.9);
    }
}
