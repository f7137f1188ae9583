//! A report as a table for a terminal.

use std::fmt;

use super::Report;
use crate::text;

/// Most classes that are all printed, with their confusion matrix.
pub(super) const MOST_CLASSES: usize = 20;
/// Classes and mistakes that are listed of more.
pub(super) const WORST: usize = 10;
/// Longest label in characters.
const LABEL: usize = 24;

impl fmt::Display for Report {
    /// Accuracy, times, classes and confusion matrix; of more than 20 classes, those found least and the most frequent
    /// confusions. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}) on {}", text::name(&self.model), self.model_hash, text::line(&self.data))?;
        write!(f, "{} pictures: top-1 {:.2} %", self.pictures, 100.0 * self.top1)?;
        if let Some(top5) = self.top5 {
            write!(f, ", top-5 {:.2} %", 100.0 * top5)?;
        }
        if let Some(accepted) = self.accepted {
            write!(f, "; {:.1} % not unknown", 100.0 * accepted.share)?;
            if let Some(top1) = accepted.top1 {
                write!(f, ", top-1 {:.2} % of these", 100.0 * top1)?;
            }
        }
        let t = &self.mean_ms;
        writeln!(
            f,
            "\nmean ms of a picture: decode {:.3}, preprocess {:.3}, inference {:.3}, postprocess {:.3}",
            t.decode, t.preprocess, t.inference, t.postprocess
        )?;
        if self.classes.len() <= MOST_CLASSES {
            writeln!(f, "\nclasses")?;
            self.class_rows(f, (0..self.classes.len()).collect())?;
            self.matrix(f)
        } else {
            let mut worst: Vec<usize> = (0..self.classes.len()).filter(|&i| self.classes[i].pictures > 0).collect();
            let recall = |i: usize| self.classes[i].recall.unwrap_or(0.0);
            worst.sort_by(|&a, &b| recall(a).total_cmp(&recall(b)));
            worst.truncate(WORST);
            writeln!(f, "\nclasses found least")?;
            self.class_rows(f, worst)?;
            self.worst_mistakes(f)
        }
    }
}

impl Report {
    fn class_rows(&self, f: &mut fmt::Formatter<'_>, rows: Vec<usize>) -> fmt::Result {
        let width = rows.iter().map(|&i| self.label(i).chars().count()).max().unwrap_or(0);
        writeln!(f, "     {:width$}  pictures   recall  precision", "")?;
        for i in rows {
            let class = &self.classes[i];
            let (recall, precision) = (percent(class.recall), percent(class.precision));
            writeln!(f, "{i:>4} {:width$}  {:>8}  {recall:>7}  {precision:>9}", self.label(i), class.pictures)?;
        }
        Ok(())
    }

    fn matrix(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nconfusion (row: truth, column: prediction)")?;
        matrix(f, &self.confusion)
    }

    fn worst_mistakes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nmost frequent confusions")?;
        for (truth, prediction, count) in self.mistakes().into_iter().take(WORST) {
            writeln!(f, "{count:>6}  {} taken for {}", self.label(truth), self.label(prediction))?;
        }
        Ok(())
    }

    fn label(&self, class: usize) -> String {
        shortened(&self.classes[class].label)
    }
}

/// A confusion matrix, with the classes' numbers.
pub(crate) fn matrix(f: &mut fmt::Formatter<'_>, confusion: &[Vec<u64>]) -> fmt::Result {
    let largest = confusion.iter().flatten().max().copied().unwrap_or(0);
    let width = largest.to_string().len().max(2) + 1;
    write!(f, "    ")?;
    (0..confusion.len()).try_for_each(|column| write!(f, "{column:>width$}"))?;
    for (i, row) in confusion.iter().enumerate() {
        write!(f, "\n{i:>4}")?;
        for &count in row {
            let count = if count == 0 { ".".into() } else { count.to_string() };
            write!(f, "{count:>width$}")?;
        }
    }
    writeln!(f)
}

/// A class's name as tables show it: of 24 characters at most.
pub(super) fn shortened(label: &str) -> String {
    let label = text::name(label);
    match label.char_indices().nth(LABEL) {
        None => label,
        Some(_) => label.chars().take(LABEL - 1).chain(['…']).collect(),
    }
}

/// A share between 0 and 1 as tables show it; `-` for none.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.1} %", 100.0 * share))
}
