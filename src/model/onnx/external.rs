//! Tensors whose values lie in other files, beside the ONNX file: what `torch.onnx.export` writes.
//!
//! A model comes from elsewhere, so that it is not trusted to name files: only those in its own folder, or below it, are read, whatever
//! their names or links say; only as much as the tensor is long; and no more in all than a model's file may have.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tract_onnx::pb::{GraphProto, TensorProto, tensor_proto::DataLocation};

use super::super::{Limit, Limits};
use crate::error::{Error, ErrorKind, Result};

/// What was read from other files.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The files, as the model names them, in order.
    pub files: Vec<String>,
    /// Bytes that were read.
    pub bytes: u64,
    /// SHA-256 of them, in the order of the tensors; `None` where there are none.
    pub sha256: Option<[u8; 32]>,
}

/// Whether a tensor's values lie elsewhere.
pub(super) fn is_outside(tensor: &TensorProto) -> bool {
    !tensor.external_data.is_empty() || tensor.data_location == Some(DataLocation::External as i32)
}

/// Reads all tensors of `graph` that lie in files in `folder`, so that they are in the message. The model's own file has `before` bytes.
///
/// # Errors
/// [`ErrorKind::Model`] naming the tensor: without a folder; a path that leads out of it; no file; not enough bytes; more of them than
/// the limit, together with the model's own file.
pub(super) fn load(graph: &mut GraphProto, folder: Option<&Path>, limits: &Limits, before: u64) -> Result<Outside> {
    let constants = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|a| a.t.as_mut());
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut outside = Outside::default();
    let mut hash = Sha256::new();
    for tensor in graph.initializer.iter_mut().chain(constants).filter(|tensor| is_outside(tensor)) {
        let at = format!("tensor {}", tensor.name);
        let place = Place::of(tensor).map_err(|e| e.at(&at))?;
        let folder = folder.ok_or_else(|| {
            refuse(format!("its values are in the file {}: give the model as a file beside it", place.file)).at(&at)
        })?;
        if !files.contains_key(&place.file) {
            files.insert(place.file.clone(), open(folder, &place.file).map_err(|e| e.at(&at))?);
        }
        outside.bytes = outside.bytes.saturating_add(place.length);
        limits.check(Limit::File, Some(before.saturating_add(outside.bytes))).map_err(|e| e.at(&at))?;
        let file = files.get_mut(&place.file).ok_or_else(|| refuse("its file was not opened".into()))?;
        tensor.raw_data = read(file, &place).map_err(|e| e.at(&at))?;
        hash.update(&tensor.raw_data);
        tensor.external_data.clear();
        tensor.data_location = None;
    }
    if !files.is_empty() {
        outside.sha256 = Some(hash.finalize().into());
    }
    outside.files = files.into_keys().collect();
    Ok(outside)
}

/// Where a tensor's values are.
struct Place {
    file: String,
    offset: u64,
    length: u64,
}

impl Place {
    fn of(tensor: &TensorProto) -> Result<Self> {
        let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|e| e.value.as_str());
        let number = |key: &str, otherwise: u64| match value(key) {
            None => Ok(otherwise),
            Some(text) => text.parse().map_err(|_| refuse(format!("its {key} is {text}, which is no number of bytes"))),
        };
        let file = value("location").filter(|file| !file.is_empty());
        let file = file.ok_or_else(|| refuse("it lies in another file, and does not say which".into()))?;
        let needed = bytes(tensor).ok_or_else(|| refuse("its extents or type make no sense".into()))?;
        let length = number("length", needed)?;
        if length != needed {
            return Err(refuse(format!("it has {length} bytes in {file}, and its extents take {needed}")));
        }
        Ok(Self { file: file.into(), offset: number("offset", 0)?, length })
    }
}

/// Bytes of a tensor's values as they lie in a file.
fn bytes(tensor: &TensorProto) -> Option<u64> {
    let width = super::tensors::width(tensor.data_type)?;
    tensor.dims.iter().try_fold(width as u64, |all, &dim| all.checked_mul(u64::try_from(dim).ok()?))
}

fn open(folder: &Path, name: &str) -> Result<File> {
    let parts = || Path::new(name).components();
    let outside = || refuse(format!("its values are in {name}, which is not in the model's folder"));
    if name.contains(char::is_control) || !parts().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(outside());
    }
    let missing = |error: std::io::Error| {
        let what = crate::error::reason(&error);
        refuse(format!("its values are in {name}, which cannot be read ({what}): put it beside the model"))
            .caused_by(error)
    };
    // Links are followed before it is looked where they lead.
    let real = |path: PathBuf| path.canonicalize().map_err(missing);
    let (folder, path) = (real(folder.to_owned())?, real(folder.join(name))?);
    if !path.starts_with(&folder) {
        return Err(outside());
    }
    if !path.metadata().map_err(missing)?.is_file() {
        return Err(refuse(format!("its values are in {name}, which is no file")));
    }
    File::open(&path).map_err(missing)
}

fn read(file: &mut File, place: &Place) -> Result<Vec<u8>> {
    let Place { file: name, offset, length } = place;
    let failed = |error: std::io::Error| {
        refuse(format!("{name} cannot be read: {}", crate::error::reason(&error))).caused_by(error)
    };
    let short =
        || refuse(format!("{name} has no {length} bytes from byte {offset} on: it is cut short, or not its file"));
    let all = file.metadata().map_err(failed)?.len();
    if offset.checked_add(*length).is_none_or(|end| end > all) {
        return Err(short());
    }
    file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(*length).map_err(|_| short())?);
    file.take(*length).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 == *length { Ok(bytes) } else { Err(short()) }
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Model, message)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{StringStringEntryProto, tensor_proto::DataType};

    use super::*;

    fn graph(entries: &[(&str, &str)]) -> GraphProto {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).into(), value: (*value).into() };
        let tensor = TensorProto {
            name: "w".into(),
            dims: vec![2],
            data_type: DataType::Float as i32,
            data_location: Some(DataLocation::External as i32),
            external_data: entries.iter().map(entry).collect(),
            ..Default::default()
        };
        GraphProto { initializer: vec![tensor], ..Default::default() }
    }

    #[test]
    fn values_are_read_from_the_place_they_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..20).collect();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        for name in ["data", "below/data"] {
            std::fs::write(folder.path().join(name), &bytes).unwrap();
            let mut graph = graph(&[("location", name), ("offset", "4"), ("length", "8")]);
            let outside = load(&mut graph, Some(folder.path()), &Limits::DEFAULT, 100).unwrap();
            assert_eq!(graph.initializer[0].raw_data, &bytes[4..12]);
            assert!(!is_outside(&graph.initializer[0]));
            assert_eq!((outside.files, outside.bytes), (vec![name.to_owned()], 8));
            assert_eq!(outside.sha256.unwrap(), <[u8; 32]>::from(Sha256::digest(&bytes[4..12])));
        }
    }

    #[test]
    fn nothing_else_is_read() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("model");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(around.path().join("secret"), [7; 64]).unwrap();
        std::fs::write(folder.join("data"), [7; 10]).unwrap();
        #[cfg(unix)]
        for (link, to) in [("link", "../secret"), ("device", "/dev/zero")] {
            std::os::unix::fs::symlink(to, folder.join(link)).unwrap();
        }
        let secret = around.path().join("secret").display().to_string();
        let said = |entries: &[(&str, &str)], limits: &Limits| {
            let error = load(&mut graph(entries), Some(&folder), limits, 100).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            error.to_string()
        };
        let mut elsewhere = vec!["../secret", "below/../../secret", &secret];
        if cfg!(unix) {
            elsewhere.extend(["link", "device"]);
        }
        for name in elsewhere {
            let said = said(&[("location", name)], &Limits::DEFAULT);
            assert!(said.starts_with("tensor w: ") && said.contains("not in the model's folder"), "{name}: {said}");
        }
        for (entries, expected) in [
            (vec![("location", "none")], "put it beside the model"),
            (vec![("location", ".")], "no file"),
            (vec![("offset", "0")], "does not say which"),
            (vec![("location", "data"), ("offset", "4")], "cut short"),
            (vec![("location", "data"), ("offset", "18446744073709551615")], "cut short"),
            (vec![("location", "data"), ("offset", "-1")], "no number of bytes"),
            (vec![("location", "data"), ("length", "4")], "its extents take 8"),
        ] {
            let said = said(&entries, &Limits::DEFAULT);
            assert!(said.contains(expected), "{entries:?}: {said}");
        }
        let tight = said(&[("location", "data")], &Limits { file: 107, ..Limits::DEFAULT });
        assert!(tight.contains("--allow file=NUMBER"), "{tight}");
        let bare = load(&mut graph(&[("location", "data")]), None, &Limits::DEFAULT, 0).unwrap_err().to_string();
        assert!(bare.contains("give the model as a file"), "{bare}");
    }
}
