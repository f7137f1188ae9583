//! `model.toml` beside `model.onnx`: what overrides the metadata inside the model.
//!
//! ```toml
//! name = "my network"
//! labels = "labels.txt"          # a file beside this one, or a list: ["cat", "dog"]
//! input_size = [224, 224]        # height and width, where the model leaves them open; one number is both
//! output = "logits"              # of a model with several
//! scores = "sigmoid"             # softmax, sigmoid or none
//! [preprocessing]                # keys as in `Preprocessing`; those left out keep the model's value
//! resize = "squash"
//! mean = [0.5, 0.5, 0.5]
//! ```

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::parse_labels;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::model::{Metadata, Preprocessing, Scores};

/// A sidecar's text; without a sidecar all is as the model says.
#[derive(Default)]
pub(super) struct Sidecar {
    path: PathBuf,
    keys: Keys,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    labels: Option<Labels>,
    input_size: Option<InputSize>,
    output: Option<String>,
    scores: Option<Scores>,
    #[serde(default)]
    preprocessing: toml::Table,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    File(String),
    List(Vec<String>),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(untagged, expecting = "expected a number of pixels, or [height, width]")]
enum InputSize {
    Side(u16),
    Sides([u16; 2]),
}

impl Sidecar {
    /// The sidecar of `model`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for one that cannot be understood, [`ErrorKind::Io`] for one that cannot be read.
    pub(super) fn beside(model: &Path) -> Result<Self> {
        let path = model.with_extension("toml");
        match files::read_text(&path) {
            Ok(text) => Self::parse(&text, path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::io(ErrorKind::Io, "read", &path, e)),
        }
    }

    fn parse(text: &str, path: PathBuf) -> Result<Self> {
        let plain = |e: toml::de::Error| {
            let line = e.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map_or(String::new(), |n| format!("line {n}: "));
            refuse(format!("{place}{}", e.message().replace('\n', " "))).at(path.display())
        };
        let keys: Keys = toml::from_str(text).map_err(plain)?;
        let sidecar = Self { path, keys };
        if sidecar.input_size().is_some_and(|size| size.contains(&0)) {
            return Err(refuse("input_size must not be 0".into()).at(sidecar.path.display()));
        }
        Ok(sidecar)
    }

    /// Height and width of the model's input, where the model leaves them open.
    pub(super) fn input_size(&self) -> Option<[usize; 2]> {
        self.keys.input_size.map(|size| match size {
            InputSize::Side(side) => [side.into(); 2],
            InputSize::Sides([height, width]) => [height.into(), width.into()],
        })
    }

    /// Name of the output that is the network's.
    pub(super) fn output(&self) -> Option<String> {
        self.keys.output.clone()
    }

    /// Puts what it says over the `metadata` of a model that takes pictures of so many channels.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what cannot be understood, [`ErrorKind::Io`] for labels that cannot be read.
    pub(super) fn apply(self, metadata: &mut Metadata, channels: usize) -> Result<()> {
        let Self { path, keys } = self;
        keys.apply(path.parent().unwrap_or(Path::new("")), metadata, channels).map_err(|e| e.at(path.display()))
    }
}

impl Keys {
    fn apply(self, folder: &Path, metadata: &mut Metadata, channels: usize) -> Result<()> {
        if self.name.is_some() {
            metadata.name = self.name;
        }
        if self.scores.is_some() {
            metadata.scores = self.scores;
        }
        match self.labels {
            Some(Labels::List(list)) => metadata.labels = Some(list),
            Some(Labels::File(name)) => metadata.labels = Some(labels(folder, &name)?),
            None => {}
        }
        if !self.preprocessing.is_empty() {
            let base = metadata.preprocessing.clone().unwrap_or_else(|| Preprocessing::of_channels(channels));
            let mut table = toml::Table::try_from(base).map_err(|e| refuse(e.to_string()))?;
            table.extend(self.preprocessing);
            let merged: Preprocessing =
                table.try_into().map_err(|e: toml::de::Error| refuse(format!("preprocessing: {}", e.message())))?;
            merged.check().map_err(|what| refuse(format!("preprocessing: {what}")))?;
            metadata.preprocessing = Some(merged);
        }
        Ok(())
    }
}

/// The labels in the file `name` in `folder`.
fn labels(folder: &Path, name: &str) -> Result<Vec<String>> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = folder.join(name);
    // A model that comes with its sidecar must not read what is none of its business, or what never ends.
    if !inside || path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(refuse(format!("labels are read from a file beside it, which {name} is not")));
    }
    let text = files::read_text(&path).map_err(|e| Error::io(ErrorKind::Io, "read", &path, e))?;
    Ok(parse_labels(&text))
}

fn refuse(what: String) -> Error {
    Error::new(ErrorKind::Config, what)
}

/// Puts a sidecar's text, which would be in `folder`, over what a model says of itself.
#[cfg(any(test, fuzzing))]
fn overlay(text: &str, folder: &Path, metadata: &mut Metadata) -> Result<()> {
    Sidecar::parse(text, folder.join("model.toml"))?.apply(metadata, 3)
}

/// Puts a sidecar's text over what a model says of itself.
#[cfg(fuzzing)]
pub fn fuzz(text: &str) -> bool {
    // A folder that is not there, so that no file is read that the text names.
    overlay(text, Path::new("/nowhere"), &mut Metadata::default()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResizeKind;

    #[test]
    fn what_is_said_wins_and_the_rest_stays() {
        let mut metadata = Metadata {
            name: Some("before".into()),
            preprocessing: Some(Preprocessing { scale: 1.0, ..Default::default() }),
            ..Default::default()
        };
        let text = "labels = ['a', 'b']\n[preprocessing]\nresize = 'squash'\nmean = [0.5, 0.5, 0.25]\n";
        overlay(text, Path::new(""), &mut metadata).unwrap();
        let p = metadata.preprocessing.unwrap();
        assert_eq!((p.resize, p.mean[2], p.scale), (ResizeKind::Squash, 0.25, 1.0));
        assert_eq!((metadata.name.unwrap(), metadata.labels.unwrap().len()), ("before".into(), 2));
    }

    #[test]
    fn sizes_are_one_number_or_two() {
        let size = |text: &str| Sidecar::parse(text, PathBuf::new()).unwrap().input_size();
        assert_eq!((size("input_size = 224"), size("input_size = [5, 6]")), (Some([224; 2]), Some([5, 6])));
        assert_eq!(size(""), None);
    }

    #[test]
    fn labels_lie_beside_the_model() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("names.txt"), "a\nb\n").unwrap();
        let read = |name: &str| {
            let mut metadata = Metadata::default();
            overlay(&format!("labels = '{name}'"), folder.path(), &mut metadata).map(|()| metadata.labels)
        };
        assert_eq!(read("./names.txt").unwrap().unwrap(), ["a", "b"]);
        assert_eq!(read("none.txt").unwrap_err().kind(), ErrorKind::Io);
        for elsewhere in ["/dev/zero", "../names.txt", "."] {
            let error = read(elsewhere).unwrap_err();
            assert!(error.to_string().contains("a file beside it"), "{elsewhere}: {error}");
        }
    }

    #[test]
    fn mistakes_are_one_line() {
        for text in [
            "scores = 'logits'",
            "input_size = 0",
            "input_size = [1, 2, 3]",
            "nam = 'x'",
            "[preprocessing]\nresise = 'squash'",
            "[preprocessing]\ncrop = 2.0",
            "name =",
        ] {
            let error = overlay(text, Path::new(""), &mut Metadata::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
