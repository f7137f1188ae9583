//! Pictures with their labels, from a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// A picture's file, and for each label whether the picture has it; `None` where that is not known.
pub(super) type LabelledPicture = (PathBuf, Vec<Option<bool>>);

/// Pictures each of which may have several labels.
#[derive(Debug, Clone)]
pub struct LabelledPictures {
    name: String,
    labels: Vec<Arc<str>>,
    pictures: Vec<LabelledPicture>,
}

impl LabelledPictures {
    /// Reads a table of comma-separated values: in its first line a name for the pictures' column and the labels, in each other line
    /// a picture's file, relative to the table's folder, and for each label 1, 0, or nothing where that is not known.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read; [`ErrorKind::Labels`] for one that is no such table, naming the line.
    pub fn open(path: &Path) -> Result<Self> {
        let text = files::read_text(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
        Self::parse(&text, files::folder(path), path.display().to_string()).map_err(|e| e.at(path.display()))
    }

    fn parse(text: &str, folder: &Path, name: String) -> Result<Self> {
        let wrong = |line: usize, what: String| Error::new(ErrorKind::Labels, format!("line {}: {what}", line + 1));
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, head) = lines.next().ok_or_else(|| wrong(0, "there are no labels".into()))?;
        if let Some((line, _)) = text.lines().enumerate().find(|(_, line)| line.contains('"')) {
            return Err(wrong(line, "quotes are not read: write names without commas, and without quotes".into()));
        }
        let labels: Vec<Arc<str>> = head.split(',').skip(1).map(|label| label.trim().into()).collect();
        if labels.is_empty() {
            return Err(wrong(0, "give a name for the pictures' column and the labels, separated by commas".into()));
        }
        let read = |(line, text): (usize, &str)| {
            let mut cells = text.split(',').map(str::trim);
            let file = folder.join(cells.next().unwrap_or_default());
            let truths = cells.map(|cell| match cell {
                "1" | "1.0" => Ok(Some(true)),
                "0" | "0.0" => Ok(Some(false)),
                "" => Ok(None),
                other => Err(wrong(line, format!("'{other}' is neither 1 nor 0, nor nothing"))),
            });
            let truths = truths.collect::<Result<Vec<_>>>()?;
            match truths.len() == labels.len() {
                true => Ok((file, truths)),
                false => Err(wrong(line, format!("it has {} values for {} labels", truths.len(), labels.len()))),
            }
        };
        let pictures = lines.map(read).collect::<Result<Vec<_>>>()?;
        if pictures.is_empty() {
            return Err(Error::new(ErrorKind::Labels, "it has no pictures"));
        }
        Ok(Self { name, labels, pictures })
    }

    /// Keeps `count` pictures, evenly spaced; all if there are not more.
    pub fn limit(&mut self, count: usize) {
        let (all, count) = (self.pictures.len(), count.clamp(1, self.pictures.len()));
        let kept = (0..count).map(|at| self.pictures[(at as u128 * all as u128 / count as u128) as usize].clone());
        self.pictures = kept.collect();
    }

    /// What it was opened from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// How many pictures there are, at least one.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is no picture: never.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    pub(super) fn pictures(&self) -> &[LabelledPicture] {
        &self.pictures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<LabelledPictures> {
        LabelledPictures::parse(text, Path::new("x"), "x/t.csv".into())
    }

    #[test]
    fn a_table_has_a_line_for_each_picture() {
        let mut table = parsed("picture, cough ,fever\na.png,1,0\n\nsub/b.png,,1.0\r\nc.png,0.0,\n").unwrap();
        assert_eq!(table.labels().iter().map(|l| &**l).collect::<Vec<_>>(), ["cough", "fever"]);
        let expected = [
            ("x/a.png", [Some(true), Some(false)]),
            ("x/sub/b.png", [None, Some(true)]),
            ("x/c.png", [Some(false), None]),
        ];
        let expected: Vec<LabelledPicture> = expected.map(|(file, truths)| (file.into(), truths.to_vec())).into();
        assert_eq!(table.pictures(), expected);
        table.limit(2);
        assert_eq!(table.pictures(), &expected[..2]);
        table.limit(7);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn what_is_no_table_is_refused_by_its_line() {
        for (text, expected) in [
            ("", "line 1: there are no labels"),
            ("picture\na.png", "line 1: give a name"),
            ("picture,a\n", "it has no pictures"),
            ("picture,a\nx.png,2", "line 2: '2' is neither 1 nor 0"),
            ("picture,a\nx.png,1,1", "line 2: it has 2 values for 1 labels"),
            ("picture,a\n\"x.png\",1", "line 2: quotes are not read"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Labels && error.to_string().starts_with(expected), "{error}");
        }
    }
}
