//! Which output of the model each class of a data set is.

use std::sync::Arc;

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

/// The model's output of each class of `data`: the one with a label of the same name; without `labels`, the outputs in order.
///
/// # Errors
/// [`ErrorKind::Labels`] when classes and labels do not match.
pub fn outputs_of(data: &Dataset, labels: Option<&[Arc<str>]>, outputs: usize) -> Result<Vec<usize>> {
    let wrong = |message: String| Error::new(ErrorKind::Labels, message);
    let (name, classes) = (data.name(), data.classes());
    let Some(labels) = labels else {
        if classes.len() == outputs {
            return Ok((0..outputs).collect());
        }
        return Err(wrong(format!(
            "{name} has {} classes, the model {outputs} outputs without labels: give the model labels to match names by",
            classes.len()
        )));
    };
    let find = |class: &Arc<str>| {
        let mut found = labels.iter().enumerate().filter(|(_, label)| *label == class).map(|(output, _)| output);
        match (found.next(), found.next()) {
            (Some(output), None) => Ok(output),
            (Some(first), Some(second)) => Err(wrong(format!(
                "{name}: class '{class}' may be output {first} or {second} of the model, which have the same label"
            ))),
            (None, _) => {
                let nearest = labels.iter().map(|label| (distance(class, label), label)).min_by_key(|(d, _)| *d);
                let help = match (nearest, labels.first()) {
                    (Some((distance, label)), _) if 2 * distance <= class.chars().count() => {
                        format!("; the nearest is '{label}'")
                    }
                    (_, Some(first)) => format!("; its {} labels begin with '{first}'", labels.len()),
                    (_, None) => String::new(),
                };
                Err(wrong(format!("{name}: the model has no label '{class}'{help}")))
            }
        }
    };
    classes.iter().map(find).collect()
}

/// Levenshtein's edit distance, small and capital letters being alike.
fn distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|text| text.to_lowercase().chars().collect::<Vec<char>>());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances() {
        for (a, b, expected) in
            [("", "", 0), ("cat", "Cat", 0), ("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
