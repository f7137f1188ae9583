//! Drawings of a measurement, as SVG without a width of their own: shapes fill the page, and text beside them keeps its size.

use super::timings::milliseconds;
use super::{Layers, Timings};
use crate::text::markup;

/// Columns of a drawing over time, at most: runs beyond that share one.
const COLUMNS: usize = 300;
/// Height of the drawings' own coordinates; their width is as many columns.
const HEIGHT: f64 = 100.0;

/// Drawing with the greatest value and zero beside it, and what is below it.
fn framed(what: &str, most: f64, unit: &str, columns: f64, marks: &str, below: [&str; 2]) -> String {
    let [left, right] = below.map(markup);
    format!(
        "<figure><div class=\"plot\"><div class=\"axis\"><span>{} {unit}</span><span>0</span></div>\
         <svg viewBox=\"0 0 {columns} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{marks}</svg></div>\
         <figcaption><span>{left}</span><span>{right}</span></figcaption></figure>\n",
        short(most),
        markup(what)
    )
}

/// A number with about three digits.
fn short(number: f64) -> String {
    let digits = if number >= 100.0 { 0 } else { 2 };
    format!("{number:.digits$}")
}

/// The time of each run, one after the other; the clock and the temperature below it, where they are told.
pub(super) fn over_time(timings: &Timings) -> String {
    let samples: Vec<f64> = timings.samples().iter().map(|run| milliseconds(*run)).collect();
    // A few runs that were interrupted for long must not make the others flat.
    let top = 1.1 * timings.percentile_ms(99.0);
    let each = samples.len().div_ceil(COLUMNS);
    let columns = samples.len().div_ceil(each);
    let y = |ms: f64| HEIGHT - HEIGHT * (ms / top).min(1.0);
    let (mut spans, mut line) = (String::new(), String::new());
    for (x, runs) in samples.chunks(each).enumerate() {
        let mut runs = runs.to_vec();
        runs.sort_by(f64::total_cmp);
        let [least, middle, most] = [runs[0], runs[runs.len() / 2], runs[runs.len() - 1]].map(y);
        spans += &format!(
            "<rect class=\"span\" x=\"{x}\" y=\"{most:.2}\" width=\"1\" height=\"{:.2}\"/>",
            (least - most).max(0.4)
        );
        line += &format!("{:.1},{middle:.2} ", x as f64 + 0.5);
    }
    let marks = format!("{spans}<polyline class=\"line\" points=\"{}\"/>", line.trim_end());
    let seconds = timings.samples().iter().sum::<std::time::Duration>().as_secs_f64();
    let below = if each == 1 { "each run".to_owned() } else { format!("least to most and median of {each} runs each") };
    let end = format!("{} runs, {seconds:.1} s", samples.len());
    let time = framed("Time of each run", top, "ms", columns as f64, &marks, [&below, &end]);
    let readings = |what: &str, unit: &str, value: fn(&crate::cpu::Reading) -> Option<f64>| {
        let values: Vec<(f64, f64)> =
            timings.readings().iter().filter_map(|(at, reading)| Some((at.as_secs_f64(), value(reading)?))).collect();
        sensor(what, unit, &values)
    };
    let clock = readings("Clock of the fastest core", "MHz", |reading| reading.clock_mhz);
    time + &clock + &readings("Temperature", "°C", |reading| reading.temperature)
}

/// What a sensor said at some seconds; nothing if it said nothing.
fn sensor(what: &str, unit: &str, values: &[(f64, f64)]) -> String {
    let (most, end) = values.iter().fold((0.0f64, 0.0f64), |(most, end), (at, value)| (most.max(*value), end.max(*at)));
    if values.len() < 2 || most <= 0.0 || end <= 0.0 {
        return String::new();
    }
    let top = 1.1 * most;
    let point = |(at, value): &(f64, f64)| format!("{:.2},{:.2} ", HEIGHT * at / end, HEIGHT - HEIGHT * value / top);
    let points: String = values.iter().map(point).collect();
    let marks = format!("<polyline class=\"line\" points=\"{}\"/>", points.trim_end());
    framed(what, top, unit, HEIGHT, &marks, [what, &format!("{end:.1} s")])
}

/// A bar for each layer, in the order they run.
pub(super) fn of_layers(layers: &Layers) -> String {
    let top = 1.1 * layers.rows.iter().map(|row| row.ms).fold(0.0, f64::max);
    if top <= 0.0 {
        return String::new();
    }
    let bars = layers.rows.iter().enumerate().map(|(x, row)| {
        let height = HEIGHT * row.ms / top;
        let class = if row.macs == 0 { "other" } else { "bar" };
        let title = markup(&format!("{}: {:.4} ms, {:.2} %", row.node, row.ms, 100.0 * row.share));
        format!(
            "<rect class=\"{class}\" x=\"{:.2}\" y=\"{:.3}\" width=\"0.8\" height=\"{height:.3}\"><title>{title}</title></rect>",
            x as f64 + 0.1,
            HEIGHT - height
        )
    });
    let legend = "<ul class=\"legend\"><li class=\"bar\">multiply-adds</li><li class=\"other\">pools, sums, loading and storing</li></ul>\n";
    let columns = layers.rows.len().max(8) as f64;
    let end = format!("{} layers", layers.rows.len());
    legend.to_owned() + &framed("Time of each layer", top, "ms", columns, &bars.collect::<String>(), ["first", &end])
}
