//! A comparison as tables for a terminal.

use std::fmt;

use super::{ClassComparison, Comparison, ScoredClass};
use crate::eval::table::{MOST_CLASSES, WORST, percent, shortened};
use crate::text;

impl fmt::Display for Comparison {
    /// Accuracies, times, classes, and the first 10 pictures that differ; of more than 20 classes, the 10 whose recall
    /// differs most. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (&self.model, &self.reference);
        writeln!(f, "model      {} ({})", text::name(&ours.model), ours.model_hash)?;
        writeln!(f, "reference  {} ({})", text::name(&theirs.model), theirs.model_hash)?;
        let data = text::line(&self.data);
        writeln!(f, "{} pictures of {data}: agreement {:.2} %", self.pictures, 100.0 * self.agreement)?;
        writeln!(
            f,
            "{} differ: {} lost (only the reference is right), {} won (only the model is right), {} both wrong\n",
            self.differing,
            self.lost,
            self.won,
            self.differing - self.lost - self.won
        )?;
        self.summary(f)?;
        self.class_table(f)?;
        self.pictures_that_differ(f)
    }
}

impl Comparison {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (&self.model, &self.reference);
        writeln!(f, "{:14}  {:>10}  {:>10}  {:>12}", "", "model", "reference", "drop, points")?;
        let mut accuracy = |name: &str, shares: (f64, f64), drop: f64| {
            let [model, reference] = [shares.0, shares.1].map(|share| format!("{:.2} %", 100.0 * share));
            writeln!(f, "{name:14}  {model:>10}  {reference:>10}  {:>12}", signed(drop))
        };
        accuracy("top-1", (ours.top1, theirs.top1), self.top1_drop)?;
        if let (Some(model), Some(reference), Some(drop)) = (ours.top5, theirs.top5, self.top5_drop) {
            accuracy("top-5", (model, reference), drop)?;
        }
        let (a, b) = (&ours.mean_ms, &theirs.mean_ms);
        for (name, model, reference) in [
            ("decode ms", a.decode, b.decode),
            ("preprocess ms", a.preprocess, b.preprocess),
            ("inference ms", a.inference, b.inference),
            ("postprocess ms", a.postprocess, b.postprocess),
        ] {
            writeln!(f, "{name:14}  {model:>10.3}  {reference:>10.3}")?;
        }
        Ok(())
    }

    fn class_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(usize, &ClassComparison)> = self.classes.iter().enumerate().collect();
        let mut title = "recall of classes";
        if rows.len() > MOST_CLASSES {
            title = "classes whose recall differs most";
            let size = |class: &ClassComparison| class.recall_drop.unwrap_or(0.0).abs();
            rows.retain(|(_, class)| size(class) > 0.0);
            rows.sort_by(|(_, a), (_, b)| size(b).total_cmp(&size(a)));
            rows.truncate(WORST);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let labels: Vec<String> = rows.iter().map(|(_, class)| shortened(&class.label)).collect();
        let width = widest(&labels);
        writeln!(f, "\n{title}")?;
        writeln!(f, "     {:width$}  pictures    model  reference  drop, points  lost   won", "")?;
        for ((i, class), label) in rows.into_iter().zip(labels) {
            let (model, reference) = (percent(class.model_recall), percent(class.reference_recall));
            let drop = class.recall_drop.map_or("-".into(), signed);
            writeln!(
                f,
                "{i:>4} {label:width$}  {:>8}  {model:>7}  {reference:>9}  {drop:>12}  {:>4}  {:>4}",
                class.pictures, class.lost, class.won
            )?;
        }
        Ok(())
    }

    fn pictures_that_differ(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.differences[..self.differences.len().min(WORST)];
        if shown.is_empty() {
            return Ok(());
        }
        let of = if self.differing > shown.len() as u64 {
            format!(" (first {} of {})", shown.len(), self.differing)
        } else {
            String::new()
        };
        writeln!(f, "\npictures that differ{of}")?;
        // The picture stands last: a path may be long.
        let column = |title: &str, cells: &mut dyn Iterator<Item = String>| {
            let mut cells: Vec<String> = [title.to_owned()].into_iter().chain(cells).collect();
            let width = widest(&cells);
            for cell in &mut cells {
                *cell = format!("{cell:width$}");
            }
            cells
        };
        let columns = [
            column("", &mut shown.iter().map(|d| d.outcome.name().to_owned())),
            column("truth", &mut shown.iter().map(|d| shortened(&d.truth.label))),
            column("model", &mut shown.iter().map(|d| said(&d.model))),
            column("reference", &mut shown.iter().map(|d| said(&d.reference))),
        ];
        let names = ["picture".to_owned()].into_iter().chain(shown.iter().map(|d| text::line(&d.picture.to_string())));
        for (row, name) in names.enumerate() {
            for cells in &columns {
                write!(f, "{}  ", cells[row])?;
            }
            writeln!(f, "{name}")?;
        }
        Ok(())
    }
}

fn said(class: &ScoredClass) -> String {
    format!("{} {:.1} %", shortened(&class.label), 100.0 * class.score)
}

/// Points with their sign: a drop may be a gain.
fn signed(points: f64) -> String {
    let text = format!("{points:+.2}");
    if matches!(text.as_str(), "+0.00" | "-0.00") { "0.00".into() } else { text }
}

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}
