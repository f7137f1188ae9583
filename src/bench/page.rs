//! A measurement as a page for a browser and as a table for a spreadsheet. The page is one file, nothing in it comes from elsewhere, and it has no
//! scripts.

use super::layers::kilobytes;
use super::plot;
use super::timings::milliseconds;
use super::{Layers, Report, Timings};
use crate::text::markup;

const STYLE: &str = include_str!("page.css");

const READING: &str = "<p class=\"note\">Times are medians over the quickest tenth of the runs. <b>MACs</b>: multiply-adds of the layer \
as it is defined. <b>kB</b>: weights, values read and values written, each counted once, whatever stays in a cache. <b>Peak</b>: \
multiply-adds a second as a share of what a loop of nothing but multiplications reaches; above 100 % where Winograd's algorithm needs fewer.</p>\n";

/// The whole page. Texts are escaped: they come from files.
pub fn html(report: &Report, timings: &Timings) -> String {
    let title = markup(&format!("{} on this machine", report.model()));
    // The policy is for the case that escaping were wrong: nothing is loaded or run.
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header><h1>{title}</h1><p>densight {}</p></header>\n",
        env!("CARGO_PKG_VERSION")
    );
    page += &warning(report);
    page += &tiles(report);
    page += &format!("<section><h2>Time over the run</h2>\n{}</section>\n", plot::over_time(timings));
    page += &facts(report);
    if let Some(layers) = &report.layers {
        let summary: String =
            layers.summary().lines().map(|line| format!("<p class=\"note\">{}</p>\n", markup(line))).collect();
        page += &format!("<section><h2>Time by layer</h2>\n{}{summary}</section>\n", plot::of_layers(layers));
        page += &table(layers);
    }
    page + "</main>\n</body>\n</html>\n"
}

fn warning(report: &Report) -> String {
    if !report.is_void() {
        return String::new();
    }
    "<section class=\"warnings\"><h2>Void</h2>\n<p>The processor was slowed down by heat or low voltage during the measurement.</p></section>\n".into()
}

/// The numbers that one looks for first.
fn tiles(report: &Report) -> String {
    let tile = |(name, value): (&str, String)| {
        format!("<div><dt>{}</dt><dd class=\"value\">{value}</dd></div>\n", markup(name))
    };
    let times = report.times().map(|(name, ms)| (name, format!("{ms:.3} ms")));
    let first = ("first run", format!("{:.3} ms", report.cold.first_ms));
    format!("<dl class=\"tiles\">\n{}</dl>\n", times.chain([first]).map(tile).collect::<String>())
}

/// The machine, and what its sensors said.
fn facts(report: &Report) -> String {
    const UNKNOWN: &str = "not told by this system";
    let mut facts = vec![("Compute threads", report.threads().to_string())];
    facts.push(("First runs", report.cold.to_string()));
    if let Some(described) = &report.described {
        let unknown = || UNKNOWN.to_owned();
        let setting = &described.setting;
        facts.push(("Processor", setting.cpu.clone().unwrap_or_else(unknown)));
        facts.push(("Board", described.board.clone().unwrap_or_else(unknown)));
        facts.push(("Instruction set", setting.isa.clone()));
        facts.push(("Device", setting.device.clone()));
        facts.push(("Model's SHA-256", setting.model_hash.clone() + "…"));
        facts.push(("Governor of the clock", described.governor.clone().unwrap_or_else(unknown)));
        let course = described.course.to_string();
        facts.extend(["Clock", "Temperature", "Energy"].into_iter().zip(course.lines().map(str::to_owned)));
    }
    if let Some(comparison) = &report.comparison {
        facts.push(("Beside the base", comparison.to_string()));
    }
    let fact = |(name, value): (&str, String)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", markup(&value));
    format!(
        "<section><h2>Machine</h2>\n<dl class=\"facts\">\n{}</dl></section>\n",
        facts.into_iter().map(fact).collect::<String>()
    )
}

/// All layers in the order they run. The first columns are seen on a phone without scrolling.
fn table(layers: &Layers) -> String {
    let most = layers.rows.iter().map(|row| row.share).fold(0.0, f64::max);
    let rows = layers.rows.iter().enumerate().map(|(i, row)| {
        let bar = if most > 0.0 { 100.0 * row.share / most } else { 0.0 };
        let dash = || "–".to_owned();
        let cells = [
            format!("{:.4}", row.ms),
            format!("{:.2}", 100.0 * row.share),
            format!("{:.1}", 100.0 * row.cumulative),
            if row.macs == 0 { dash() } else { format!("{:.2} M", row.macs as f64 / 1e6) },
            row.bytes.map_or_else(dash, |bytes| format!("{:.1}", kilobytes(bytes))),
            row.of_peak.map_or_else(dash, |share| format!("{:.0} %", 100.0 * share)),
            markup(&format!("{} {}", row.r#type, row.op)),
            markup(&row.kernel),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        // Names may break where their parts end.
        let name = markup(&row.node).replace('.', ".<wbr>").replace('/', "/<wbr>");
        let bar = format!("<span class=\"share\"><span style=\"width:{bar:.1}%\"></span></span>");
        format!("<tr id=\"layer-{}\"><th scope=\"row\">{name}{bar}</th>{cells}</tr>\n", i + 1)
    });
    format!(
        "<section><h2>Layers in the order they run</h2>\n{READING}<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th>layer</th>\
         <th>ms</th><th>%</th><th>sum %</th><th>MACs</th><th>kB</th><th>peak</th><th>computes</th><th>kernel</th></tr></thead>\n\
         <tbody>\n{}</tbody>\n</table></div></section>\n",
        rows.collect::<String>()
    )
}

/// A table of comma-separated values, with a head: of the layers, if they were measured, else of the runs.
pub fn csv(report: &Report, timings: &Timings) -> String {
    let Some(layers) = &report.layers else {
        let runs = timings.samples().iter().enumerate();
        let rows = runs.map(|(n, run)| format!("{},{}\n", n + 1, milliseconds(*run)));
        return std::iter::once("run,ms\n".to_owned()).chain(rows).collect();
    };
    let mut table =
        "node,computes,type,kernel,ms,share,cumulative,macs,weight_bytes,read_bytes,written_bytes,of_peak\n".to_owned();
    for row in &layers.rows {
        let texts = [&row.node, &row.op, &row.r#type, &row.kernel].map(|text| quoted(text)).join(",");
        let [weights, read, written] =
            row.bytes.map_or_else(Default::default, |bytes| bytes.map(|count| count.to_string()));
        let peak = row.of_peak.map_or_else(String::new, |share| share.to_string());
        let numbers = [row.ms, row.share, row.cumulative].map(|number| number.to_string()).join(",");
        table += &format!("{texts},{numbers},{},{weights},{read},{written},{peak}\n", row.macs);
    }
    table
}

/// A text as a field, without what ends a line.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace(char::is_control, " ").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::LayerRow;
    use super::*;

    fn timings() -> Timings {
        Timings::new((1..=900).map(|n| Duration::from_micros(6000 + n * 37 % 900)).collect(), Vec::new())
    }

    fn report(node: &str) -> Report {
        let row = |ms: f64, of_peak| LayerRow {
            node: node.into(),
            op: "conv".into(),
            r#type: "int8".into(),
            kernel: "densight avx2".into(),
            ms,
            share: ms / 4.0,
            cumulative: 1.0,
            macs: 1_000_000,
            bytes: Some([1000, 2000, 3000]),
            of_peak,
        };
        let mut report = Report::new(node, 1, &timings(), &[]);
        report.layers = Some(Layers {
            rows: vec![row(1.0, Some(0.5)), row(3.0, None)],
            sum_ms: 4.0,
            processor_time: true,
            timed_ms: 4.0,
            untimed_ms: 4.0,
            runs: 100,
            quickest: 10,
            peak_gmacs: [Some(100.0), None],
            threads: 1,
        });
        report
    }

    /// Checks that elements nest.
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
    }

    #[test]
    fn pages_are_whole_and_on_their_own() {
        for report in [report("conv.0"), Report::new("tiny", 2, &timings(), &[99.9])] {
            let page = html(&report, &timings());
            check(&page);
            for foreign in ["<script", "<link", "http://", "https://", "url(", "@import", " src=", "NaN"] {
                assert!(!page.contains(foreign), "{foreign}");
            }
        }
        let page = html(&report("conv.0"), &timings());
        assert!(page.matches("<tr id=").count() == 2 && page.contains("50 %") && page.contains("6.0"));
    }

    #[test]
    fn texts_are_escaped_wherever_they_stand() {
        let evil = "<script>alert(1)</script>\"'&\n";
        let page = html(&report(evil), &timings());
        check(&page);
        assert!(!page.contains("<script"), "{page}");
        let table = csv(&report("a \"b\",\nc"), &timings());
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(
            table.contains(
                "\"a \"\"b\"\", c\",\"conv\",\"int8\",\"densight avx2\",1,0.25,1,1000000,1000,2000,3000,0.5\n"
            )
        );
    }

    #[test]
    fn without_layers_the_runs_are_the_table() {
        let table = csv(&Report::new("tiny", 1, &timings(), &[]), &timings());
        assert_eq!(table.lines().next(), Some("run,ms"));
        assert_eq!(table.lines().nth(1), Some("1,6.037"));
        assert_eq!(table.lines().count(), 901);
    }
}
