//! Numbers as people read them. The terminal's table and the page show the same ones.

use super::{Accuracy, LayerReport};

/// What stands where there is no value.
pub(super) const NONE: &str = "-";

/// Decibels, without the unit.
pub(super) fn db(db: f64) -> String {
    if db.is_infinite() { if db > 0.0 { "∞" } else { "-∞" }.into() } else { format!("{db:.1}") }
}

/// Decibels that may not have been measured.
pub(super) fn maybe_db(value: Option<f64>) -> String {
    value.map_or(NONE.into(), db)
}

/// A share between 0 and 1 in percent, with two decimals.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A share between 0 and 1 in percent, without the unit; what is too small for two decimals is told from nothing.
pub(super) fn small_percent(share: f64) -> String {
    match 100.0 * share {
        0.0 => "0".into(),
        percent if percent < 0.01 => "<0.01".into(),
        percent => format!("{percent:.2}"),
    }
}

/// A count with three digits and a prefix of 1000: `12`, `1.23 k`, `45.6 M`.
pub(super) fn count(count: u64) -> String {
    if count < 1000 {
        return count.to_string();
    }
    let mut value = count as f64;
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        // From here on three digits would round to 1000.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    format!("{} {prefix}", three_digits(value))
}

/// A size: `12 B`, `1.23 MB`.
pub(super) fn bytes(size: u64) -> String {
    let text = count(size);
    if text.contains(' ') { text + "B" } else { text + " B" }
}

/// An f32 value with three digits.
pub(super) fn real(value: f32) -> String {
    let size = value.abs();
    if value.is_finite() && size > 0.0 && !(1e-3..1e5).contains(&size) {
        format!("{value:.2e}")
    } else {
        three_digits(f64::from(value))
    }
}

fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into(); // not "-0"
    }
    if !value.is_finite() {
        return value.to_string().replace("inf", "∞");
    }
    // The exponent after rounding to three digits: 0.9996 is 1.00.
    let scientific = format!("{value:.2e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let decimals = (2 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

/// `1 picture`, `2 pictures`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The first `most` of a list and how many more there are.
pub(super) fn first<T>(all: &[T], most: usize, text: impl Fn(&T) -> String) -> String {
    let mut parts: Vec<String> = all.iter().take(most).map(text).collect();
    if all.len() > most {
        parts.push(format!("and {} more", all.len() - most));
    }
    parts.join(", ")
}

/// Percentage points; a third decimal where two would hide them.
pub(super) fn points(points: f64) -> String {
    let text = format!("{points:.2}");
    match text.as_str() {
        "0.00" | "-0.00" if points != 0.0 => format!("{points:.3}"),
        _ => text,
    }
}

/// What became of the budget, if there is one.
pub(super) fn budget(accuracy: &Accuracy) -> Option<String> {
    let verdict = if accuracy.is_over_budget() { "OVER the budget" } else { "within the budget" };
    accuracy.budget_points.map(|budget| format!("{verdict} of {}", points(budget)))
}

/// The calibrated range of a layer's input.
pub(super) fn range(layer: &LayerReport) -> String {
    let [low, high] = layer.input_range.map(real);
    format!("{low} … {high}")
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    #[test]
    fn decibels() {
        let values = [(f64::INFINITY, "∞"), (f64::NEG_INFINITY, "-∞"), (31.46, "31.5"), (-2.0, "-2.0"), (0.0, "0.0")];
        for (value, text) in values {
            assert_eq!(db(value), text);
        }
        assert_eq!(maybe_db(None), "-");
    }

    #[test]
    fn counts_and_sizes() {
        let values = [(0, "0"), (999, "999"), (1000, "1.00 k"), (12_345, "12.3 k"), (999_499, "999 k")];
        for (value, text) in values {
            assert_eq!(count(value), text);
        }
        assert_eq!(count(999_500), "1.00 M", "never 1000 k");
        assert_eq!(count(u64::MAX), "18.4 E");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(4_070_000), "4.07 MB");
    }

    #[test]
    fn real_numbers() {
        let values = [(0.0, "0"), (-0.0, "0"), (0.0123, "0.0123"), (-2.345_6, "-2.35"), (0.9996, "1.00")];
        for (value, text) in values {
            assert_eq!(real(value), text);
        }
        assert_eq!(real(1234.0), "1234");
        assert_eq!(real(1.5e-5), "1.50e-5");
        assert_eq!(real(f32::NAN), "NaN");
        assert_eq!(real(f32::NEG_INFINITY), "-∞");
    }

    #[test]
    fn small_shares_are_told_from_none() {
        let values = [(0.0, "0"), (1e-9, "<0.01"), (0.0001, "0.01"), (0.1234, "12.34")];
        for (value, text) in values {
            assert_eq!(small_percent(value), text);
        }
    }

    #[test]
    fn a_small_drop_is_told_from_none() {
        let values = [(0.0, "0.00"), (0.002, "0.002"), (-0.002, "-0.002"), (0.15, "0.15"), (-1.5, "-1.50")];
        for (value, text) in values {
            assert_eq!(points(value), text);
        }
    }

    #[test]
    fn the_budget_is_named_only_if_there_is_one() {
        let mut accuracy = report(0).accuracy.unwrap();
        accuracy.drop_points = 0.4;
        for (points, text) in [(None, None), (Some(0.5), Some("within the budget of 0.50"))] {
            accuracy.budget_points = points;
            assert_eq!(budget(&accuracy).as_deref(), text);
        }
        accuracy.budget_points = Some(0.3);
        assert_eq!(budget(&accuracy).unwrap(), "OVER the budget of 0.30");
    }

    #[test]
    fn lists_are_cut() {
        let text = |n: &i32| n.to_string();
        assert_eq!(first(&[1, 2, 3], 3, text), "1, 2, 3");
        assert_eq!(first(&[1, 2, 3], 2, text), "1, 2, and 1 more");
        assert_eq!(first(&[], 2, text), "");
    }
}
