//! A report as a page for a browser: one file, nothing in it comes from elsewhere, and it has no scripts.

use super::ranking::{Measure, Ranking};
use super::{LayerReport, Report, format, plot};
use crate::text::markup;

/// Layers that stand out as the most harmful.
const WORST: usize = 5;

const STYLE: &str = include_str!("page.css");

const READING: &str = "<p class=\"note\">SQNR compares the power of the float values with that of what int8 changes, in \
decibels: the lower, the worse; 20 dB more is a tenth of the difference, ∞ none. <b>Alone</b>: of the logits when only \
this layer is int8, which is its effect on the output. <b>Result</b>: of what the layer computes in the int8 network, \
errors of earlier layers included. <b>Weights</b>: of the layer's weights. <b>Rank</b> 1 harms most.</p>\n";

/// The order is by importance: on a phone the first columns are seen without scrolling.
const HEAD: &str = "<thead>\n<tr><th rowspan=\"2\">#</th><th rowspan=\"2\" class=\"name\">layer</th>\
<th rowspan=\"2\">rank</th><th colspan=\"3\" class=\"group\">SQNR in dB</th><th rowspan=\"2\" class=\"name\">type</th>\
<th rowspan=\"2\">MACs</th><th rowspan=\"2\">input range</th><th rowspan=\"2\">input scale</th>\
<th rowspan=\"2\">clipped %</th></tr>\n<tr><th>alone</th><th>result</th><th>weights</th></tr>\n</thead>\n";

/// The whole page of a report, with every layer. Texts of the report are escaped: they come from files.
pub fn html(report: &Report) -> String {
    let ranking = Ranking::of(report);
    let title = markup(&format!("{} in int8", report.model));
    let samples = format::plural(report.samples, "calibration picture");
    // The policy is for the case that escaping were wrong: nothing is loaded or run.
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1><p>{} ranges from {samples}</p></header>\n",
        markup(&report.method)
    );
    page += &warnings(report);
    page += &tiles(report);
    page += &facts(report);
    if report.layers.is_empty() {
        page += "<section><h2>Layers</h2><p>The network has no layers.</p></section>\n";
    } else {
        let (plot, harmful) = (plot::plot(report, &ranking, WORST), harmful(report, &ranking));
        page += &format!("<section><h2>SQNR by layer</h2>\n{plot}{harmful}</section>\n");
        page += &table(report, &ranking);
    }
    page + "</main>\n</body>\n</html>\n"
}

fn warnings(report: &Report) -> String {
    if report.warnings.is_empty() {
        return String::new();
    }
    format!("<section class=\"warnings\"><h2>Warnings</h2>\n{}</section>\n", list(&report.warnings))
}

fn list(texts: &[String]) -> String {
    let items: String = texts.iter().map(|text| format!("<li>{}</li>\n", markup(text))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// The four numbers that one looks for first.
fn tiles(report: &Report) -> String {
    let tile = |name: &str, value: &str, class: &str, beside: &str| {
        format!(
            "<div><dt>{name}</dt><dd class=\"value\">{value}</dd><dd class=\"beside {class}\">{beside}</dd></div>\n"
        )
    };
    let drop = match &report.accuracy {
        None => tile("Accuracy", format::NONE, "", "not measured"),
        Some(accuracy) => {
            let name = if accuracy.labelled { "Drop in top-1" } else { "Classified otherwise" };
            let class = if accuracy.is_over_budget() { "over" } else { "within" };
            let drop = format!("{} points", format::points(accuracy.drop_points));
            match format::budget(accuracy) {
                Some(budget) => tile(name, &drop, class, &budget),
                None => tile(name, &drop, "", "no budget"),
            }
        }
    };
    let before = format!("of {} in float", format::bytes(report.bytes_before));
    let tiles = [
        drop,
        tile("In int8", &format::percent(report.int8_share), "", "of the multiply-adds"),
        tile("Size", &format::bytes(report.bytes_after), "", &before),
        tile("SQNR of the logits", &format!("{} dB", format::db(report.output_sqnr_db)), "", "on calibration pictures"),
    ];
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.concat())
}

/// The other totals.
fn facts(report: &Report) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(accuracy) = &report.accuracy {
        let labels = if accuracy.labelled { "" } else { " without labels" };
        facts.push(("Accuracy from", format::plural(accuracy.pictures, "picture") + labels));
        let top1 = [("Top-1 in float", accuracy.float_top1), ("Top-1 in int8", accuracy.int8_top1)];
        facts.extend(top1.into_iter().filter_map(|(name, share)| Some((name, format::percent(share?)))));
        facts.push(("Classified alike", format::percent(accuracy.agreement)));
    }
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    facts.push(("Weights equalized", yes(report.equalized)));
    facts.push(("Biases corrected", yes(report.bias_corrected)));
    if !report.kept_float.is_empty() {
        facts.push(("Kept float", markup(&report.kept_float.join(", "))));
    }
    if !report.skipped.is_empty() {
        let skipped = report.skipped.iter().map(|skipped| format!("{}: {}", skipped.picture, skipped.reason));
        let (count, skipped) = (format::plural(report.skipped.len(), "picture"), list(&skipped.collect::<Vec<_>>()));
        facts.push(("Skipped", format!("<details><summary>{count}</summary>{skipped}</details>")));
    }
    let fact = |(name, value): &(&str, String)| {
        let class = if ["Kept float", "Skipped"].contains(name) { " class=\"wide\"" } else { "" };
        format!("<div{class}><dt>{name}</dt><dd>{value}</dd></div>\n")
    };
    let facts: String = facts.iter().map(fact).collect();
    format!("<section><h2>Details</h2>\n<dl class=\"facts\">\n{facts}</dl></section>\n")
}

/// The most harmful layers, with links to their rows.
fn harmful(report: &Report, ranking: &Ranking) -> String {
    let item = |&i: &usize| {
        let (layer, number) = (&report.layers[i], i + 1);
        let (name, db) = (markup(&layer.name), format::maybe_db(ranking.by.of(layer)));
        format!("<li><a href=\"#layer-{number}\">{name}</a> (layer {number}): {db} dB</li>\n")
    };
    let items: String = ranking.layers.iter().take(WORST).map(item).collect();
    if items.is_empty() {
        return String::new();
    }
    format!("<h3>Most harmful: {}</h3>\n<ol class=\"harmful\">\n{items}</ol>\n", ranking.by.words())
}

/// All layers, in the order in which they run.
fn table(report: &Report, ranking: &Ranking) -> String {
    let mut ranks = vec![None; report.layers.len()];
    for (rank, &layer) in ranking.layers.iter().enumerate() {
        ranks[layer] = Some(rank + 1);
    }
    let layers = report.layers.iter().zip(ranks).enumerate();
    let rows: String = layers.map(|(i, (layer, rank))| row(i, layer, rank, ranking.by)).collect();
    format!(
        "<section><h2>Layers in the order they run</h2>\n{READING}\
         <div class=\"scroll\"><table>\n{HEAD}<tbody>\n{rows}</tbody>\n</table></div></section>\n"
    )
}

fn row(index: usize, layer: &LayerReport, rank: Option<usize>, by: Measure) -> String {
    let class = match rank {
        Some(rank) if rank <= WORST => "worst",
        _ if layer.is_int8() => "int8",
        _ => "f32",
    };
    let cell = |class: &str, text: String| format!("<td class=\"{class}\">{}</td>", markup(&text));
    let measured =
        |measure: Measure| cell(if measure == by { "db ranked" } else { "db" }, format::maybe_db(measure.of(layer)));
    // Names may break where their parts end.
    let name = markup(&layer.name).replace('.', ".<wbr>").replace('/', "/<wbr>");
    let cells = [
        cell("index", (index + 1).to_string()),
        format!("<th scope=\"row\">{name}</th>"),
        cell("rank", rank.map_or(String::new(), |rank| rank.to_string())),
        measured(Measure::Alone),
        measured(Measure::Result),
        cell("db", format::maybe_db(layer.weights_sqnr_db)),
        cell("name", layer.r#type.name().into()),
        cell("macs", format::count(layer.macs)),
        cell("range", format::range(layer)),
        cell("scale", layer.input_scale.map_or(format::NONE.into(), format::real)),
        cell("clipped", format::small_percent(layer.clipped)),
    ];
    format!("<tr id=\"layer-{}\" class=\"{class}\">{}</tr>\n", index + 1, cells.concat())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{layer, report};
    use super::*;

    /// Checks that elements nest and every link within the page has its target.
    fn check(page: &str) {
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1).map(|part| part.split('>').next().unwrap()) {
            let name = tag.split([' ', '/']).next().unwrap();
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{page}");
            } else if !tag.ends_with('/') && name != "wbr" {
                open.push(name);
            }
        }
        assert_eq!(open, [""; 0], "{page}");
        for target in page.split("href=\"").skip(1).map(|part| part.split('"').next().unwrap()) {
            let id = target.strip_prefix('#').expect("links lead nowhere else");
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{target}");
        }
    }

    #[test]
    fn pages_are_whole_and_on_their_own() {
        for layers in [0, 1, 40, 121, 400] {
            let page = html(&report(layers));
            check(&page);
            assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
            assert_eq!(page.matches("<tr id=").count(), layers);
            for foreign in ["<script", "<link", "http://", "https://", "url(", "@import", " src="] {
                assert!(!page.contains(foreign), "{foreign}");
            }
        }
        assert!(html(&report(0)).contains("The network has no layers."));
    }

    #[test]
    fn texts_are_escaped_wherever_they_stand() {
        let evil = "<script>alert(1)</script>\"'&\u{0}";
        let mut report = report(2);
        report.model = evil.into();
        report.method = evil.into();
        report.skipped[0].picture = evil.into();
        report.skipped[0].reason = evil.into();
        report.kept_float = vec![evil.into()];
        report.warnings = vec![evil.into()];
        for layer in &mut report.layers {
            layer.name = evil.into();
        }
        let page = html(&report);
        check(&page);
        assert!(!page.contains("<script") && !page.contains('\u{0}') && !page.contains("\"'&"));
        // Model twice, method, picture and reason, kept, warning; a tooltip, a name and the worst's name.
        let escaped = page.matches("&lt;script&gt;alert(1)&lt;/").count();
        assert_eq!(escaped, 7 + 2 * 2 + 1, "{page}");
        assert_eq!(markup(evil), "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}");
    }

    #[test]
    fn layers_stand_as_they_run_and_the_worst_stand_out() {
        let page = html(&report(121));
        let rows: Vec<&str> = page.split("<tr id=").skip(1).collect();
        let is_numbered = |(i, row): (usize, &&str)| row.contains(&format!("<td class=\"index\">{}</td>", i + 1));
        assert!(rows.iter().enumerate().all(is_numbered));
        let worst: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].contains("class=\"worst\"")).collect();
        let mut expected = Ranking::of(&report(121)).layers[..WORST].to_vec();
        expected.sort();
        assert_eq!(worst, expected);
        assert!(rows[120].contains("class=\"f32\""));
    }

    #[test]
    fn infinity_and_what_is_missing() {
        let mut report = report(1);
        report.layers[0] = layer("a", None, Some(f64::INFINITY));
        report.output_sqnr_db = f64::INFINITY;
        report.accuracy = None;
        report.warnings.clear();
        let page = html(&report);
        check(&page);
        assert!(page.contains("<dd class=\"value\">∞ dB</dd>") && page.contains("<td class=\"db ranked\">∞</td>"));
        assert!(page.contains("not measured") && !page.contains("Warnings") && !page.contains("Most harmful"));
    }

    #[test]
    fn the_budget_decides_the_colour() {
        for (budget, class) in [(Some(0.5), "beside within"), (Some(0.1), "beside over"), (None, "no budget")] {
            let mut report = report(1);
            report.accuracy.as_mut().unwrap().budget_points = budget;
            assert!(html(&report).contains(class), "{class}");
        }
    }
}
