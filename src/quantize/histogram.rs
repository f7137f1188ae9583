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
    /// The mean squared error of the quantized values is least, with what is cut off counted 16 times: errors of rounding are as
    /// often above as below and mostly cancel in a convolution's sums, what is cut off lacks in all of them.
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

/// How often a squared error of cutting counts by [`Method::Mse`], where one of rounding counts once.
const CUT: f64 = 16.0;

/// Counts of magnitudes in equal bins from 0 to a limit that grows with what comes.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    bins: Vec<u64>,
    /// How many of the first bin are 0, which every scale holds exactly.
    zeros: u64,
    width: f32,
    greatest: f32,
}

/// What a slice of values comes to; those that are not finite are taken for 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Extremes {
    /// The least value, or 0.
    pub(super) least: f32,
    /// The greatest magnitude.
    pub(super) greatest: f32,
    pub(super) sum: f64,
}

impl Extremes {
    /// Those of `values`, in lanes that a compiler makes vectors of.
    pub(super) fn of(values: &[f32]) -> Self {
        const LANES: usize = 16;
        let (mut least, mut most, mut sums) = ([0.0_f32; LANES], [0.0_f32; LANES], [0.0_f64; LANES]);
        let mut step = |values: &[f32]| {
            for ((value, sum), (least, most)) in values.iter().zip(&mut sums).zip(least.iter_mut().zip(&mut most)) {
                let value = if value.is_finite() { *value } else { 0.0 };
                *least = if value < *least { value } else { *least };
                *most = if value > *most { value } else { *most };
                *sum += f64::from(value);
            }
        };
        let (chunks, rest) = values.as_chunks::<LANES>();
        chunks.iter().for_each(|chunk| step(chunk));
        step(rest);
        let least = least.into_iter().fold(0.0, f32::min);
        Self { least, greatest: most.into_iter().fold(-least, f32::max), sum: sums.into_iter().sum() }
    }

    /// Those of both.
    pub(super) fn and(self, other: Self) -> Self {
        let (least, greatest) = (self.least.min(other.least), self.greatest.max(other.greatest));
        Self { least, greatest, sum: self.sum + other.sum }
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: vec![0; BINS], zeros: 0, width: 0.0, greatest: 0.0 }
    }

    /// Counts some values, whose greatest magnitude is `greatest`. Those that are not finite are left out.
    pub(super) fn add(&mut self, values: &[f32], greatest: f32) {
        self.reach(greatest);
        let inverse = if self.width > 0.0 { 1.0 / self.width } else { 0.0 };
        // Neighbours are often in one bin: four lists of counts need not wait for each other.
        let mut counts = [[0_u32; BINS]; 4];
        for part in values.chunks(u32::MAX as usize) {
            for four in part.chunks(4) {
                for (value, counts) in four.iter().zip(&mut counts) {
                    counts[((value.abs() * inverse) as usize).min(BINS - 1)] += 1;
                }
            }
            for counts in &mut counts {
                self.bins.iter_mut().zip(counts).for_each(|(bin, count)| *bin += u64::from(std::mem::take(count)));
            }
        }
        self.zeros += values.iter().filter(|&&value| value == 0.0).count() as u64;
        for value in values.iter().filter(|value| !value.is_finite()) {
            self.bins[((value.abs() * inverse) as usize).min(BINS - 1)] -= 1;
        }
    }

    /// Makes the last bin reach beyond `greatest`.
    fn reach(&mut self, greatest: f32) {
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
            Method::Mse => self.least(levels, |bins, cut| squared_error(bins, self.zeros, cut, levels)),
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

/// Sum of squared errors, in squared bins, when values are cut at bin `cut` and rounded to `levels` steps; `zeros` of the first bin have
/// none, and what is less than half a step has its own magnitude.
fn squared_error(bins: &[u64], zeros: u64, cut: usize, levels: usize) -> f64 {
    let step = cut as f64 / levels as f64;
    let rounded = |(i, &count): (usize, &u64)| {
        let (count, value) = (if i == 0 { count - zeros } else { count } as f64, i as f64 + 0.5);
        count * if value < step / 2.0 { value * value } else { step * step / 12.0 }
    };
    let inside: f64 = bins[..cut].iter().enumerate().map(rounded).sum();
    let outside = bins[cut..].iter().enumerate().map(|(i, &count)| count as f64 * (i as f64 + 0.5).powi(2));
    inside + CUT * outside.sum::<f64>()
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
            histogram.add(&values, 1.0);
        }
        histogram.add(&[-50.0], 50.0);
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
        // N c^2 / (12 * 255^2) + CUT (50 - c)^2 is least there.
        let weight = 2e6 / (12.0 * 255.0 * 255.0);
        let expected = (50.0 * CUT / (CUT + weight)) as f32;
        assert!((histogram.limit(Method::Mse, 255) / expected - 1.0).abs() < 0.03);
        assert!((histogram.beyond(2.0) - 1.0 / 2_000_001.0).abs() < 1e-9);
        assert_eq!(histogram.beyond(50.0), 0.0);
    }

    #[test]
    fn without_outliers_nothing_is_cut() {
        let mut histogram = Histogram::new();
        histogram.add(&[0.0; 10], 0.0);
        histogram.add(&(0..10_000).map(|i| i as f32 / 10_000.0).collect::<Vec<_>>(), 0.9999);
        assert!(histogram.limit(Method::Mse, 255) > 0.98);
        assert!(histogram.limit(Method::Entropy, 255) > 0.9);
    }

    #[test]
    fn zeros_and_what_is_not_finite_cost_nothing() {
        let values: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        let mut plain = Histogram::new();
        plain.add(&values, 0.999);
        let mut mixed = Histogram::new();
        let with: Vec<f32> = values.iter().flat_map(|&v| [v, 0.0, f32::NAN, f32::INFINITY, 0.0]).collect();
        mixed.add(&with, Extremes::of(&with).greatest);
        assert_eq!(mixed.bins[1..], plain.bins[1..]);
        assert_eq!((mixed.bins[0], mixed.zeros), (plain.bins[0] + 2000, plain.zeros + 2000));
        for cut in [300, 1000, 2048] {
            let cost = |of: &Histogram| squared_error(&of.bins, of.zeros, cut, 255);
            assert_eq!(cost(&mixed), cost(&plain));
        }
    }

    #[test]
    fn extremes_are_those_of_all_values() {
        for count in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..count).map(|i| ((i * 37) % 101) as f32 - 30.0).collect();
            let found = Extremes::of(&values);
            let least = values.iter().copied().fold(0.0, f32::min);
            let greatest = values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            assert_eq!((found.least, found.greatest), (least, greatest), "{count}");
            assert_eq!(found.sum, values.iter().map(|&v| f64::from(v)).sum::<f64>(), "whole numbers add up exactly");
        }
        let found = Extremes::of(&[f32::NAN, f32::NEG_INFINITY, -2.0, 1.0]);
        assert_eq!(found, Extremes { least: -2.0, greatest: 2.0, sum: -1.0 });
    }
}
