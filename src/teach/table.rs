//! A report as a table for a terminal.

use std::fmt;

use super::report::Report;
use crate::eval::matrix;
use crate::text;

/// Most classes whose confusion matrix is printed.
const MOST_CLASSES: usize = 20;

impl fmt::Display for Report {
    /// Accuracy, classes, confusion matrix, suspects, and what would help. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.interval.map(|share| 100.0 * share);
        writeln!(f, "{} pictures of {} classes, {} that differ", self.pictures, self.classes.len(), self.groups)?;
        writeln!(
            f,
            "accuracy {:.1} %, by cross-validation (95 %: {low:.1} to {high:.1} %)\n{} features, shrinkage {}, {} views of each picture; features {:.1} s, head {:.1} s\n",
            100.0 * self.accuracy,
            self.features,
            self.shrinkage,
            self.views + 1,
            self.feature_seconds,
            self.head_seconds,
        )?;
        self.class_rows(f)?;
        if self.classes.len() <= MOST_CLASSES {
            writeln!(f, "\nconfusion (row: folder, column: found)")?;
            matrix(f, &self.confusion)?;
        }
        match self.unknown {
            Some(unknown) => write!(f, "\n{unknown}")?,
            None => writeln!(f, "\nwhat it does not know is not told: all pictures of each class look alike")?,
        }
        if !self.suspects.is_empty() {
            writeln!(f, "\npictures that may be in the wrong folder")?;
        }
        for suspect in &self.suspects {
            let (picture, like) = (text::line(&suspect.picture.to_string()), text::name(&suspect.looks_like));
            let share = 100.0 * suspect.probability;
            writeln!(f, "  {picture}: given as {}, looks like {like} ({share:.0} %)", text::name(&suspect.given))?;
        }
        for class in self.classes.iter().filter(|class| class.groups == 1) {
            let label = text::name(&class.label);
            writeln!(f, "\nall pictures of {label} look alike: how well it is found cannot be told")?;
        }
        match self.wanted.as_slice() {
            [] => Ok(()),
            wanted => {
                let names: Vec<String> = wanted.iter().map(|label| text::name(label)).collect();
                writeln!(f, "\nmore pictures would help most: {}", names.join(", "))
            }
        }
    }
}

impl Report {
    fn class_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.classes.iter().map(|class| text::name(&class.label)).collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        writeln!(f, "     {:width$}  pictures  differ   recall  precision", "")?;
        for (i, (class, label)) in self.classes.iter().zip(&labels).enumerate() {
            let (recall, pictures, groups) = (100.0 * class.recall, class.pictures, class.groups);
            let precision = class.precision.map_or("-".into(), |share| format!("{:.1} %", 100.0 * share));
            writeln!(f, "{i:>4} {label:width$}  {pictures:>8}  {groups:>6}  {recall:>5.1} %  {precision:>9}")?;
        }
        Ok(())
    }
}
