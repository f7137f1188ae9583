//! A report as a table for a terminal.

use std::fmt;

use super::ranking::Ranking;
use super::{LayerReport, Report, format};
use crate::text;

/// Most layers that are all printed.
const MOST_LAYERS: usize = 60;
/// Layers that are printed of more.
const OF_MORE: usize = 20;
/// Layers that are named as the most harmful.
const WORST: usize = 5;
/// Skipped pictures and float layers that are named.
const NAMED: usize = 3;
/// Longest layer name in characters.
const NAME: usize = 36;

const COLUMNS: [&str; 10] =
    ["#", "layer", "type", "MACs", "weights", "result", "alone", "input range", "scale", "clipped %"];

impl fmt::Display for Report {
    /// The totals, the layers in the order in which they run, the most harmful ones, and the warnings. Of more than 60
    /// layers only the 20 most harmful are shown. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        let ranking = Ranking::of(self);
        let (count, by) = (self.layers.len(), ranking.by.words());
        if count > MOST_LAYERS {
            let worst = &ranking.layers[..OF_MORE.min(ranking.layers.len())];
            if worst.is_empty() {
                writeln!(f, "\n{count} layers, none of which changes the output")?;
            } else {
                writeln!(f, "\nthe {} most harmful of {count} layers ({by})", worst.len())?;
                self.rows(f, worst)?;
            }
            writeln!(f, "all layers are in the reports as JSON and HTML")?;
        } else if count > 0 {
            writeln!(f, "\nlayers in the order in which they run")?;
            self.rows(f, &(0..count).collect::<Vec<_>>())?;
            self.worst(f, &ranking)?;
        }
        if !self.warnings.is_empty() {
            writeln!(f)?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {}", text::line(warning)))
    }
}

impl Report {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:12}  {value}");
        line("model", text::name(&self.model))?;
        line("calibration", format!("{}, {}", text::line(&self.method), format::plural(self.samples, "picture")))?;
        if !self.skipped.is_empty() {
            line("skipped", format::plural(self.skipped.len(), "picture"))?;
            for skipped in self.skipped.iter().take(NAMED) {
                line("", text::line(&format!("{}: {}", skipped.picture, skipped.reason)))?;
            }
            if self.skipped.len() > NAMED {
                line("", format!("and {} more", self.skipped.len() - NAMED))?;
            }
        }
        let done = [(self.equalized, "weights equalized"), (self.bias_corrected, "biases corrected")];
        let done: Vec<&str> = done.iter().filter(|(is_done, _)| *is_done).map(|(_, what)| *what).collect();
        if !done.is_empty() {
            line("prepared", done.join(", "))?;
        }
        line("int8", format!("{} of the multiply-adds", format::percent(self.int8_share)))?;
        if !self.kept_float.is_empty() {
            let named = format::first(&self.kept_float, NAMED, |name| text::name(name));
            line("kept float", format!("{}: {named}", format::plural(self.kept_float.len(), "layer")))?;
        }
        line("size", format!("{} -> {}", format::bytes(self.bytes_before), format::bytes(self.bytes_after)))?;
        line("logits SQNR", format!("{} dB", format::db(self.output_sqnr_db)))?;
        match self.accuracy_words() {
            Some(words) => line("accuracy", words),
            None => line("accuracy", "not measured".into()),
        }
    }

    /// One line on the accuracy, if it was measured.
    fn accuracy_words(&self) -> Option<String> {
        let a = self.accuracy.as_ref()?;
        let drop = format!("drop {} points", format::points(a.drop_points));
        let drop = [drop].into_iter().chain(format::budget(a)).collect::<Vec<_>>().join(", ");
        let (pictures, agreement) = (format::plural(a.pictures, "picture"), format::percent(a.agreement));
        let share = |share: Option<f64>| share.map_or(format::NONE.into(), format::percent);
        Some(if a.labelled {
            let (float, int8) = (share(a.float_top1), share(a.int8_top1));
            format!("top-1 {float} -> {int8}, {drop} ({pictures}, {agreement} classified alike)")
        } else {
            format!("{pictures} without labels, {agreement} classified alike: {drop}")
        })
    }

    /// The table of the given layers.
    fn rows(&self, f: &mut fmt::Formatter<'_>, layers: &[usize]) -> fmt::Result {
        let head = COLUMNS.map(str::to_owned);
        let rows: Vec<_> = [head].into_iter().chain(layers.iter().map(|&i| cells(i, &self.layers[i]))).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
        // A line above tells of the three columns what they are: in their heads it would make them wide.
        let sqnr = widths[4] + widths[5] + widths[6] + 4;
        writeln!(f, "{:1$}{2:-^sqnr$}", "", widths[..4].iter().sum::<usize>() + 8, " SQNR in dB ")?;
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let cell = if matches!(column, 1 | 2) { format!("{cell:width$}") } else { format!("{cell:>width$}") };
                line += &format!("{}{cell}", if column == 0 { "" } else { "  " });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn worst(&self, f: &mut fmt::Formatter<'_>, ranking: &Ranking) -> fmt::Result {
        if ranking.layers.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nmost harmful ({})", ranking.by.words())?;
        for &i in ranking.layers.iter().take(WORST) {
            let layer = &self.layers[i];
            let db = format::maybe_db(ranking.by.of(layer));
            writeln!(f, "{db:>7} dB  {:>3}  {}", i + 1, text::name(&layer.name))?;
        }
        Ok(())
    }
}

/// The cells of a layer, in the order of [`COLUMNS`].
fn cells(index: usize, layer: &LayerReport) -> [String; COLUMNS.len()] {
    [
        (index + 1).to_string(),
        shortened(&text::line(&layer.name)),
        layer.r#type.name().into(),
        format::count(layer.macs),
        format::maybe_db(layer.weights_sqnr_db),
        format::maybe_db(layer.result_sqnr_db),
        format::maybe_db(layer.alone_sqnr_db),
        format::range(layer),
        layer.input_scale.map_or(format::NONE.into(), format::real),
        format::small_percent(layer.clipped),
    ]
}

/// A name of at most [`NAME`] characters: layers of a block differ at the end, so the end is kept.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME {
        name.to_owned()
    } else {
        ['…'].into_iter().chain(name.chars().skip(length - NAME + 1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{layer, report};
    use super::*;

    /// The lines from one that begins with `from` to the next empty one.
    fn lines<'a>(text: &'a str, from: &str) -> Vec<&'a str> {
        let lines = text.lines().skip_while(|line| !line.trim_start().starts_with(from)).skip(1);
        lines.take_while(|line| !line.is_empty()).collect()
    }

    #[test]
    fn a_small_report() {
        let mut small = report(0);
        small.layers = vec![layer("conv0", Some(f64::INFINITY), Some(30.0)), layer("fc", None, Some(29.0))];
        small.layers[0].macs = 12;
        small.layers[1].input_scale = None;
        let expected = "\
model         densenet-bc-100-12
calibration   entropy, 509 pictures
skipped       4 pictures
              pictures/a.jpg: not a picture that can be decoded
              pictures/b.jpg: not a picture that can be decoded
              pictures/c.png: not a picture that can be decoded
              and 1 more
prepared      weights equalized
int8          99.21 % of the multiply-adds
size          3.21 MB -> 980 kB
logits SQNR   27.3 dB
accuracy      top-1 95.51 % -> 95.36 %, drop 0.15 points, within the budget of 0.50 (10000 pictures, 99.12 % classified \
alike)

layers in the order in which they run
                        ----- SQNR in dB -----
#  layer  type    MACs  weights  result  alone   input range   scale  clipped %
1  conv0  int8      12     40.0       ∞   30.0  -1.00 … 2.00  0.0118       0.10
2  fc     int8  1.23 M     40.0       -   29.0  -1.00 … 2.00       -       0.10

most harmful (SQNR of the logits when only that layer is int8)
   29.0 dB    2  fc
   30.0 dB    1  conv0

warning: 509 calibration pictures are few
";
        assert_eq!(small.to_string(), expected);
    }

    #[test]
    fn layers_stand_as_they_run_and_the_worst_five_by_harm() {
        let text = report(60).to_string();
        let rows = lines(&text, "# ");
        assert_eq!(rows.len(), 60);
        let is_numbered = |(i, row): (usize, &&str)| row.trim_start().starts_with(&format!("{} ", i + 1));
        assert!(rows.iter().enumerate().all(is_numbered), "{text}");
        assert!(rows[59].contains("classifier") && rows[59].contains("f32"), "{text}");
        let worst = lines(&text, "most harmful");
        assert_eq!(worst.len(), WORST);
        let db: Vec<f64> = worst.iter().map(|row| row.split_whitespace().next().unwrap().parse().unwrap()).collect();
        assert!(db.is_sorted(), "{db:?}");
    }

    #[test]
    fn of_many_layers_only_the_worst_are_shown() {
        let text = report(61).to_string();
        assert!(text.contains("the 20 most harmful of 61 layers"), "{text}");
        assert!(text.contains("all layers are in the reports as JSON and HTML"));
        let rows = lines(&text, "# ");
        let rows: Vec<_> = rows.iter().take_while(|row| !row.starts_with("all layers")).collect();
        assert_eq!(rows.len(), OF_MORE);
        let ranked: Vec<String> = Ranking::of(&report(61)).layers.iter().map(|i| (i + 1).to_string()).collect();
        let shown: Vec<&str> = rows.iter().map(|row| row.split_whitespace().next().unwrap()).collect();
        assert_eq!(shown, ranked[..OF_MORE]);
        let mut harmless = report(0);
        harmless.layers = vec![layer("a", Some(1.0), Some(f64::INFINITY)); 61];
        assert!(harmless.to_string().contains("61 layers, none of which changes the output"));
    }

    #[test]
    fn one_layer_and_none() {
        assert_eq!(lines(&report(1).to_string(), "# ").len(), 1);
        let text = report(0).to_string();
        assert!(!text.contains("type") && !text.contains("harmful"), "{text}");
        assert!(text.ends_with("warning: 509 calibration pictures are few\n"));
    }

    #[test]
    fn columns_are_aligned() {
        let text = report(40).to_string();
        let head = text.lines().find(|line| line.contains("# ")).unwrap();
        let ends: Vec<usize> =
            ["MACs", "alone", "scale", "%"].iter().map(|c| head.find(c).unwrap() + c.len()).collect();
        for row in lines(&text, "# ") {
            let row: Vec<char> = row.chars().collect();
            assert!(ends.iter().all(|&end| row[end - 1] != ' ' && row.get(end).is_none_or(|&c| c == ' ')), "{text}");
        }
    }

    #[test]
    fn accuracy_without_labels_is_agreement() {
        let mut report = report(0);
        let accuracy = report.accuracy.as_mut().unwrap();
        accuracy.labelled = false;
        (accuracy.float_top1, accuracy.int8_top1) = (None, None);
        (accuracy.pictures, accuracy.agreement, accuracy.drop_points) = (1, 0.98, 2.0);
        let expected = "1 picture without labels, 98.00 % classified alike: drop 2.00 points, OVER the budget of 0.50";
        assert_eq!(report.accuracy_words().unwrap(), expected);
        report.accuracy = None;
        assert!(report.to_string().contains("accuracy      not measured\n"));
    }

    #[test]
    fn names_cannot_steer_the_terminal_and_long_ones_keep_their_end() {
        let mut report = report(1);
        report.layers[0].name = format!("\u{1b}[2J{}\nend", "x".repeat(60));
        report.model = "\u{1b}]0;title\u{7}".into();
        report.warnings[0] = "one\nline".into();
        let text = report.to_string();
        assert_eq!(text.chars().filter(|&c| c.is_control() && c != '\n').count(), 0);
        assert!(lines(&text, "# ")[0].contains(&format!("…{}\u{fffd}end  int8", "x".repeat(31))), "{text}");
        assert!(text.ends_with("warning: one\u{fffd}line\n"));
    }
}
