//! Densight's entries in an ONNX file's `metadata_props`.

use serde::de::DeserializeOwned;
use tract_onnx::pb::StringStringEntryProto;

use super::super::{DenseNetConfig, Metadata, Preprocessing};
use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "densight.name";
const CONFIG: &str = "densight.config";
const PREPROCESSING: &str = "densight.preprocessing";
const LABELS: &str = "densight.labels";
const SCORES: &str = "densight.scores";

pub(super) fn write(metadata: &Metadata) -> Vec<StringStringEntryProto> {
    let entry = |(key, value)| StringStringEntryProto { key, value };
    to_entries(metadata).into_iter().map(entry).collect()
}

/// What is known of a network, as texts by keys.
pub fn to_entries(metadata: &Metadata) -> Vec<(String, String)> {
    let json = |value: serde_json::Result<String>| value.expect("numbers, texts and lists are always JSON");
    let entries = [
        (NAME, metadata.name.clone()),
        (CONFIG, metadata.config.as_ref().map(|c| json(serde_json::to_string(c)))),
        (PREPROCESSING, metadata.preprocessing.as_ref().map(|p| json(serde_json::to_string(p)))),
        (LABELS, metadata.labels.as_ref().map(|l| json(serde_json::to_string(l)))),
        (SCORES, metadata.scores.map(|scores| scores.to_string())),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect()
}

/// # Errors
/// [`ErrorKind::Model`] naming the key whose value cannot be read.
pub(super) fn read(entries: &[StringStringEntryProto]) -> Result<Metadata> {
    from_entries(entries.iter().map(|e| (e.key.as_str(), e.value.as_str())))
}

/// What [`to_entries`] wrote; other keys are nothing to it.
///
/// # Errors
/// [`ErrorKind::Model`] naming the key whose value cannot be read.
pub fn from_entries<'a>(entries: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<Metadata> {
    let text = |key: &str| entries.clone().find(|(k, _)| *k == key).map(|(_, value)| value);
    let config: Option<DenseNetConfig> = json(CONFIG, text(CONFIG))?;
    let preprocessing: Option<Preprocessing> = json(PREPROCESSING, text(PREPROCESSING))?;
    if let Some(p) = &preprocessing {
        p.check().map_err(|what| broken(PREPROCESSING, &what))?;
    }
    let scores =
        text(SCORES).map(|text| text.parse().map_err(|e: Error| broken(SCORES, &e.to_string()))).transpose()?;
    let labels = json(LABELS, text(LABELS))?;
    Ok(Metadata { name: text(NAME).map(String::from), config, preprocessing, labels, scores })
}

fn json<T: DeserializeOwned>(key: &str, text: Option<&str>) -> Result<Option<T>> {
    text.map(|text| serde_json::from_str(text).map_err(|e| broken(key, &e.to_string()).caused_by(e))).transpose()
}

fn broken(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Model, format!("the metadata entry {key} cannot be used: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::super::Scores;

    #[test]
    fn metadata_survives_the_trip() {
        let metadata = Metadata {
            name: Some("netz \"ä\"".into()),
            config: Some(DenseNetConfig::default()),
            preprocessing: Some(Preprocessing { mean: [0.1, 0.2, 0.3], ..Default::default() }),
            labels: Some(vec!["a".into(), "b, c".into()]),
            scores: Some(Scores::Sigmoid),
        };
        assert_eq!(read(&write(&metadata)).unwrap(), metadata);
        assert_eq!(read(&write(&Metadata::default())).unwrap(), Metadata::default());
    }

    #[test]
    fn unreadable_entries_are_named() {
        let entry = |key: &str, value: &str| [StringStringEntryProto { key: key.into(), value: value.into() }];
        let error = read(&entry(PREPROCESSING, r#"{"crop": 2.0}"#)).unwrap_err();
        assert!(error.to_string().contains("densight.preprocessing cannot be used: crop is 2"), "{error}");
        assert!(read(&entry(LABELS, "cat, dog")).is_err());
        assert!(read(&entry(SCORES, "logits")).unwrap_err().to_string().contains("use softmax, sigmoid or none"));
        assert_eq!(read(&entry("author", "x")).unwrap(), Metadata::default());
    }
}
