//! `model.toml` beside `model.onnx`: what overrides the metadata inside the model.
//!
//! ```toml
//! name = "my network"
//! labels = "labels.txt"          # a file beside this one, or a list: ["cat", "dog"]
//! [preprocessing]                # keys as in `Preprocessing`; those left out keep the model's value
//! resize = "squash"
//! mean = [0.5, 0.5, 0.5]
//! ```

use std::path::{Component, Path};

use serde::Deserialize;

use super::parse_labels;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::model::{Metadata, Preprocessing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    name: Option<String>,
    labels: Option<Labels>,
    #[serde(default)]
    preprocessing: toml::Table,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    File(String),
    List(Vec<String>),
}

/// Puts what the sidecar of `model` says over `metadata`; without a sidecar nothing changes.
///
/// # Errors
/// [`ErrorKind::Config`] for a sidecar that cannot be understood, [`ErrorKind::Io`] for one that cannot be read.
pub(super) fn apply(model: &Path, metadata: &mut Metadata) -> Result<()> {
    let path = model.with_extension("toml");
    let text = match files::read_text(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(ErrorKind::Io, "read", &path, e)),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    overlay(&text, folder, metadata).map_err(|e| e.at(path.display()))
}

fn overlay(text: &str, folder: &Path, metadata: &mut Metadata) -> Result<()> {
    let refuse = |what: String| Error::new(ErrorKind::Config, what);
    let plain = |e: toml::de::Error| {
        let line = e.span().map(|span| text[..span.start].lines().count().max(1));
        let place = line.map_or(String::new(), |n| format!("line {n}: "));
        refuse(format!("{place}{}", e.message().replace('\n', " ")))
    };
    let sidecar: Sidecar = toml::from_str(text).map_err(plain)?;
    if sidecar.name.is_some() {
        metadata.name = sidecar.name;
    }
    match sidecar.labels {
        Some(Labels::List(list)) => metadata.labels = Some(list),
        Some(Labels::File(name)) => {
            let inside =
                Path::new(&name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            let path = folder.join(&name);
            // A model that comes with its sidecar must not read what is none of its business, or what never ends.
            if !inside || path.metadata().is_ok_and(|found| !found.is_file()) {
                return Err(refuse(format!("labels are read from a file beside it, which {name} is not")));
            }
            let text = files::read_text(&path).map_err(|e| Error::io(ErrorKind::Io, "read", &path, e))?;
            metadata.labels = Some(parse_labels(&text));
        }
        None => {}
    }
    if !sidecar.preprocessing.is_empty() {
        let base = metadata.preprocessing.clone().unwrap_or_default();
        let mut table = toml::Table::try_from(base).map_err(|e| refuse(e.to_string()))?;
        table.extend(sidecar.preprocessing);
        let merged: Preprocessing =
            table.try_into().map_err(|e: toml::de::Error| refuse(format!("preprocessing: {}", e.message())))?;
        merged.check().map_err(|what| refuse(format!("preprocessing: {what}")))?;
        metadata.preprocessing = Some(merged);
    }
    Ok(())
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
        for text in ["nam = 'x'", "[preprocessing]\nresise = 'squash'", "[preprocessing]\ncrop = 2.0", "name ="] {
            let error = overlay(text, Path::new(""), &mut Metadata::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
