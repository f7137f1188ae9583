//! Label files.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The labels in `text`, one a line, blank lines at the end ignored. A WordNet id in front
/// (`n01440764 tench, Tinca tinca`) is not part of the label.
pub fn parse_labels(text: &str) -> Vec<String> {
    let label = |line: &str| {
        let line = line.trim();
        match line.split_once(char::is_whitespace) {
            Some((id, rest)) if is_wordnet_id(id) => rest.trim_start().into(),
            _ => line.into(),
        }
    };
    text.trim_start_matches('\u{feff}').trim_end().lines().map(label).collect()
}

fn is_wordnet_id(word: &str) -> bool {
    word.len() == 9 && word.starts_with('n') && word[1..].bytes().all(|b| b.is_ascii_digit())
}

/// One label for each of `classes`: those given, or `class 0`, `class 1`, …
pub(super) fn fit(labels: Option<&[String]>, classes: usize) -> Result<Vec<Arc<str>>> {
    match labels {
        None => Ok((0..classes).map(|i| format!("class {i}").into()).collect()),
        Some(labels) if labels.len() == classes => Ok(labels.iter().map(|l| l.as_str().into()).collect()),
        Some(labels) => Err(Error::new(
            ErrorKind::Labels,
            format!(
                "there are {} labels, but the model has {classes} outputs: give one label a line for each",
                labels.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wordnet_ids_line_ends_and_byte_order_marks_are_taken_off() {
        let text = "\u{feff}n01440764 tench, Tinca tinca\r\n  hen\nn1 x\n\n";
        assert_eq!(parse_labels(text), ["tench, Tinca tinca", "hen", "n1 x"]);
    }

    #[test]
    fn the_count_must_fit() {
        assert_eq!(&*fit(None, 2).unwrap()[1], "class 1");
        let error = fit(Some(&["a".into()]), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Labels);
        assert!(error.to_string().starts_with("there are 1 labels, but the model has 2 outputs"));
    }
}
