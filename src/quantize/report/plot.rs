//! The layers' SQNRs as an SVG drawing.
//!
//! The drawing has no fixed width: what lies along it is placed in percent, so that it fills a wide window, and text
//! keeps its size on a phone, where many layers are scrolled past an axis that stays.

use super::ranking::{Measure, Ranking};
use super::{LayerReport, Report, format};
use crate::text;

/// Height of the drawing, in pixels.
const HEIGHT: f64 = 300.0;
/// Where infinite values lie, in pixels from above.
const INFINITE: f64 = 14.0;
/// Where the highest gridline lies, in pixels from above.
const TOP: f64 = 34.0;
/// Where the lowest gridline lies, in pixels from above.
const BOTTOM: f64 = 256.0;
/// Lowest value that is told from lower ones, in decibels: a broken layer must not make the others flat.
const LOWEST: f64 = -40.0;
/// Places for layers in a drawing of fewer: one bar should not be as wide as the page.
const FEWEST: usize = 8;
/// Smallest and largest width of a layer, in pixels.
const WIDTH: [usize; 2] = [5, 40];

/// From decibels to pixels.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn of(layers: &[LayerReport]) -> Self {
        let values = layers.iter().flat_map(|layer| [layer.alone_sqnr_db, layer.result_sqnr_db]).flatten();
        let finite = values.filter(|db| db.is_finite());
        let (low, high) = finite.fold((0.0f64, 10.0f64), |(low, high), db| (low.min(db), high.max(db)));
        let low = low.max(LOWEST);
        let step = [5.0, 10.0, 20.0, 50.0].into_iter().find(|step| (high - low) / step <= 7.0).unwrap_or(100.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// Pixels from above.
    fn y(&self, db: f64) -> f64 {
        if db == f64::INFINITY {
            return INFINITE;
        }
        let share = ((db - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn gridlines(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| self.low + i as f64 * self.step)
    }
}

/// Legend and drawing; nothing for a network without layers. The first `worst` layers of the ranking stand out.
pub(super) fn plot(report: &Report, ranking: &Ranking, worst: usize) -> String {
    if report.layers.is_empty() {
        return String::new();
    }
    let scale = Scale::of(&report.layers);
    let is_infinite = |layer: &LayerReport| [layer.alone_sqnr_db, layer.result_sqnr_db].contains(&Some(f64::INFINITY));
    let infinite = report.layers.iter().any(is_infinite);
    let worst = if ranking.by == Measure::Alone { &ranking.layers[..worst.min(ranking.layers.len())] } else { &[] };
    format!(
        "{}<div class=\"plot\">\n{}{}</div>\n",
        legend(!worst.is_empty(), report.layers.iter().any(|layer| !layer.is_int8())),
        axis(&scale, infinite),
        marks(&report.layers, &scale, infinite, worst)
    )
}

/// What the marks mean, of those that are there.
fn legend(worst: bool, float: bool) -> String {
    let bar = |class: &str| format!("<rect class=\"{class}\" x=\"6\" width=\"10\" height=\"12\"/>");
    let line = "<path class=\"line\" d=\"M0 6H22\"/><circle class=\"dot\" cx=\"11\" cy=\"6\" r=\"3\"/>";
    let entries = [
        (true, bar("bar"), "alone: the logits when only this layer is int8"),
        (worst, bar("bar worst"), "the most harmful layers"),
        (true, line.to_owned(), "result: what the layer computes in the int8 network"),
        (float, bar("float"), "float layer"),
    ];
    let entry = |(_, mark, words): &(bool, String, &str)| {
        format!("<li><svg width=\"22\" height=\"12\" aria-hidden=\"true\">{mark}</svg>{words}</li>\n")
    };
    let entries: String = entries.iter().filter(|(is_there, ..)| *is_there).map(entry).collect();
    format!("<ul class=\"legend\">\n{entries}</ul>\n")
}

/// The axis of decibels, which stays when the rest is scrolled.
fn axis(scale: &Scale, infinite: bool) -> String {
    let label = |y: f64, text: &str| {
        format!("<text x=\"46\" y=\"{y:.1}\" dominant-baseline=\"central\" text-anchor=\"end\">{text}</text>\n")
    };
    let mut labels: String = scale.gridlines().map(|db| label(scale.y(db), &format!("{db:.0}"))).collect();
    if infinite {
        labels += &label(INFINITE, "∞");
    }
    let middle = (TOP + BOTTOM) / 2.0;
    format!(
        "<svg class=\"axis\" width=\"52\" height=\"{HEIGHT}\" aria-hidden=\"true\">\n<text transform=\"translate(12 \
         {middle}) rotate(-90)\" text-anchor=\"middle\">SQNR in dB</text>\n{labels}</svg>\n"
    )
}

fn marks(layers: &[LayerReport], scale: &Scale, infinite: bool, worst: &[usize]) -> String {
    let slots = layers.len().max(FEWEST);
    let [narrowest, widest] = WIDTH.map(|width| width * slots);
    let mut svg = format!(
        "<svg class=\"marks\" role=\"img\" aria-label=\"SQNR of each layer in decibels; the table below has the values\" \
         height=\"{HEIGHT}\" style=\"flex:1 0 {narrowest}px;max-width:{widest}px\">\n"
    );
    let line = |y: f64, class| format!("<line class=\"{class}\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n");
    svg.extend(scale.gridlines().map(|db| line(scale.y(db), if db == 0.0 { "zero" } else { "grid" })));
    if infinite {
        svg += &line(INFINITE, "infinite");
    }
    let numbered = || layers.iter().enumerate();
    svg.extend(numbered().map(|(i, layer)| mark(i, slots, layer, scale, worst.contains(&i))));
    svg += &results(layers, slots, scale);
    let radius = if layers.len() <= 60 { 3.0 } else { 2.0 };
    let dot = |(i, layer): (usize, &LayerReport)| {
        let (x, y) = (percent(i as f64 + 0.5, slots), scale.y(known(layer.result_sqnr_db)?));
        Some(format!("<circle class=\"dot\" cx=\"{x}\" cy=\"{y:.1}\" r=\"{radius}\" pointer-events=\"none\"/>\n"))
    };
    svg.extend(numbered().filter_map(dot));
    let every = if layers.len() <= 10 { 1 } else { [5, 10][usize::from(layers.len() > 60)] };
    let number = |n: usize| {
        let x = percent(n as f64 - 0.5, slots);
        format!("<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{n}</text>\n", BOTTOM + 18.0)
    };
    svg.extend((1..=layers.len()).filter(|n| *n == 1 || n % every == 0).map(number));
    svg + &format!("<text y=\"{}\">layer, in the order they run</text>\n</svg>\n", HEIGHT - 6.0)
}

/// A layer's bar, on a ground that answers the pointer over its whole height, as a link to its row.
fn mark(index: usize, slots: usize, layer: &LayerReport, scale: &Scale, worst: bool) -> String {
    let place = |from: f64, to: f64| {
        let (x, width) = (percent(index as f64 + from, slots), percent(to - from, slots));
        format!("x=\"{x}\" width=\"{width}\"")
    };
    let slot = format!("{} y=\"0\" height=\"{BOTTOM}\"", place(0.0, 1.0));
    let mut inside = format!("<title>{}</title>", text::markup(&tooltip(index, layer)));
    if !layer.is_int8() {
        inside += &format!("<rect class=\"float\" {slot}/>");
    }
    if let Some(db) = known(layer.alone_sqnr_db) {
        let class = if worst { "bar worst" } else { "bar" };
        // A bar stands on zero, or hangs from it; one without height would not be seen.
        let (zero, y) = (scale.y(0.0), scale.y(db));
        let (top, height) = (zero.min(y), (zero - y).abs().max(1.0));
        inside += &format!("<rect class=\"{class}\" {} y=\"{top:.1}\" height=\"{height:.1}\"/>", place(0.15, 0.85));
    }
    format!("<a href=\"#layer-{0}\" tabindex=\"-1\">{inside}<rect class=\"slot\" {slot}/></a>\n", index + 1)
}

fn tooltip(index: usize, layer: &LayerReport) -> String {
    let value = |name: &str, db: Option<f64>| db.map(|db| format!("\n{name}: {} dB", format::db(db)));
    let (alone, result) = (value("alone", layer.alone_sqnr_db), value("result", layer.result_sqnr_db));
    let values = [alone, result].into_iter().flatten().collect::<String>();
    format!("{} {} ({}){values}", index + 1, text::name(&layer.name), layer.r#type.name())
}

/// The line through the results, broken where there is none and where it would lead to infinity.
fn results(layers: &[LayerReport], slots: usize, scale: &Scale) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (i, layer) in layers.iter().enumerate() {
        let finite = known(layer.result_sqnr_db).filter(|&db| db < f64::INFINITY);
        if let Some(db) = finite {
            path += &format!("{}{:.1} {:.1}", if is_drawing { "L" } else { "M" }, i as f64 + 0.5, scale.y(db));
        }
        is_drawing = finite.is_some();
    }
    // Paths know no percent: this one is drawn in layers and stretched.
    format!(
        "<svg width=\"100%\" height=\"{HEIGHT}\" viewBox=\"0 0 {slots} {HEIGHT}\" preserveAspectRatio=\"none\" \
         pointer-events=\"none\"><path class=\"line\" d=\"{path}\"/></svg>\n"
    )
}

/// A value that can be drawn.
fn known(db: Option<f64>) -> Option<f64> {
    db.filter(|db| !db.is_nan())
}

/// A place or width, counted in layers, along the drawing.
fn percent(layers: f64, slots: usize) -> String {
    format!("{:.3}%", 100.0 * layers / slots as f64)
}

#[cfg(test)]
mod tests {
    use super::super::Precision;
    use super::super::sample::{layer, report};
    use super::*;

    fn drawing(report: &Report) -> String {
        plot(report, &Ranking::of(report), 5)
    }

    /// The values of an attribute, `name="value"`, of elements of a class.
    fn values(svg: &str, class: &str, name: &str) -> Vec<f64> {
        let elements = svg.split('<').filter(|element| element.contains(&format!("class=\"{class}\"")));
        let value = |element: &str| {
            let text = element.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap();
            text.trim_end_matches('%').parse().unwrap()
        };
        elements.map(value).collect()
    }

    fn of(layers: Vec<LayerReport>) -> Report {
        Report { layers, ..report(0) }
    }

    #[test]
    fn every_layer_is_drawn_inside() {
        for count in [1, 2, 7, 8, 40, 121, 400] {
            let svg = drawing(&report(count));
            assert_eq!(svg.matches("<title>").count(), count);
            let (slots, widths) = (values(&svg, "slot", "x"), values(&svg, "slot", "width"));
            assert_eq!(slots.len(), count);
            let inside = |(x, width): (&f64, &f64)| *x >= 0.0 && *width > 0.2 && x + width < 100.01;
            assert!(slots.is_sorted() && slots.iter().zip(&widths).all(inside), "{count}: {slots:?}");
            let dots = values(&svg, "dot", "cy");
            assert!(dots[1..].iter().all(|y| (TOP..=BOTTOM).contains(y)), "{count}: {dots:?}"); // the first is the legend's
            let bars = values(&svg[svg.find("class=\"marks\"").unwrap()..], "bar worst", "height");
            assert_eq!(bars.len(), (count - usize::from(count > 1)).min(5), "{count}");
            assert!(["NaN", "inf%", "inf\""].iter().all(|wrong| !svg.contains(wrong)), "{count}");
        }
        assert_eq!(drawing(&report(0)), "");
    }

    #[test]
    fn infinite_values_lie_above_all_others() {
        let svg = drawing(&of(vec![
            layer("a", Some(f64::INFINITY), Some(f64::INFINITY)),
            layer("b", Some(90.0), Some(90.0)),
            layer("c", Some(70.0), None),
        ]));
        assert_eq!(values(&svg, "dot", "cy")[1], INFINITE);
        assert!(svg.contains(&format!("y=\"{INFINITE:.1}\" height=\"{:.1}\"", BOTTOM - INFINITE)), "{svg}");
        assert!(svg.contains(">∞</text>") && svg.contains("alone: ∞ dB"), "{svg}");
        assert!(svg.contains("d=\"M1.5 "), "the line begins after it: {svg}");
        assert!(!drawing(&of(vec![layer("a", Some(1.0), Some(1.0))])).contains('∞'));
    }

    #[test]
    fn broken_layers_hang_from_zero_and_leave_the_others_readable() {
        let broken = [-20.0, f64::NEG_INFINITY, -500.0, f64::NAN].map(|db| layer("a", Some(db), Some(db)));
        let svg = drawing(&of([broken.to_vec(), vec![layer("b", Some(30.0), Some(30.0))]].concat()));
        assert!(svg.contains(">-40</text>") && !svg.contains(">-50</text>"), "{svg}");
        let dots = values(&svg, "dot", "cy");
        assert_eq!(dots.len(), 1 + 4, "NaN has none");
        assert!(dots[1] < BOTTOM && dots[2..4] == [BOTTOM; 2], "{dots:?}");
        let zero = Scale::of(&report(0).layers).y(0.0);
        assert_eq!(zero, BOTTOM, "without negative values zero is the lowest line");
    }

    #[test]
    fn the_line_is_broken_where_nothing_is_known() {
        let results = [Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)];
        let svg = drawing(&of(results.map(|db| layer("a", db, Some(1.0))).to_vec()));
        let path = svg.rsplit(" d=\"").next().unwrap().split('"').next().unwrap();
        let commands: String = path.chars().filter(char::is_ascii_alphabetic).collect();
        assert_eq!(commands, "MLML");
    }

    #[test]
    fn tooltips_tell_name_and_values_escaped() {
        let mut float = layer("<script>&", Some(12.34), None);
        float.r#type = Precision::F32;
        let svg = drawing(&of(vec![float]));
        assert!(
            svg.contains("<title>1 &lt;script&gt;&amp; (f32)\nresult: 12.3 dB</title><rect class=\"float\""),
            "{svg}"
        );
        assert!(svg.contains("float layer</li>") && !svg.contains("most harmful"));
    }
}
