//! Weights in `.safetensors` files.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::super::{Architecture, Limits};
use super::{Tensor, Weights, names, refuse};
use crate::error::{Error, ErrorKind, Result};

impl Weights {
    /// Reads the weights of `net` from a `.safetensors` file: F32, F16 or BF16, under the names of the reference
    /// implementation or of torchvision (old and new).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Weights`] if it is no such file or as
    /// [`Weights::new`]; both name the file.
    pub fn load(path: &Path, net: &Architecture) -> Result<Self> {
        let bytes =
            crate::files::read(path, Limits::default().file).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
        Self::from_safetensors(&bytes, net).map_err(|e| e.at(path.display()))
    }

    /// As [`load`](Self::load), from the file's bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`].
    pub fn from_safetensors(bytes: &[u8], net: &Architecture) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| refuse(format!("not a safetensors file, or cut short ({e})")).caused_by(e))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let Some(reference) = names::reference(name) else { continue };
            let tensor = Tensor { shape: view.shape().to_vec(), data: values(name, &view)? };
            if tensors.insert(reference.clone(), tensor).is_some() {
                return Err(refuse(format!("tensor {reference} is there twice, once as {name}")));
            }
        }
        Self::new(tensors, net)
    }

    /// Writes the weights as F32 under the names of the reference implementation.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] naming the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes: Vec<(&str, &[usize], Vec<u8>)> = self
            .iter()
            .map(|(name, t)| (name, t.shape.as_slice(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let failed = |e: safetensors::SafeTensorError| {
            Error::new(ErrorKind::Output, format!("cannot write {}: {e}", path.display())).caused_by(e)
        };
        let views = bytes
            .iter()
            .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), data)?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        safetensors::serialize_to_file(views, None, path).map_err(failed)
    }
}

fn values(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => data.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(refuse(format!("tensor {name} is of type {other:?}: save it as F32, F16 or BF16"))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::DenseNetConfig;
    use super::*;

    fn net() -> Architecture {
        Architecture::of(&DenseNetConfig { block_config: vec![1, 1], ..Default::default() }).unwrap()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let weights = Weights::init(&net(), 3);
        let file = tempfile::NamedTempFile::new().unwrap();
        weights.save(file.path()).unwrap();
        assert_eq!(Weights::load(file.path(), &net()).unwrap(), weights);
    }

    #[test]
    fn broken_files_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Weights::load(file.path(), &net()).unwrap_err();
        assert!(error.to_string().starts_with(&file.path().display().to_string()), "{error}");
        assert_eq!(error.kind(), ErrorKind::Weights);
        let error = Weights::load(Path::new("no/such.safetensors"), &net()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such.safetensors: no such file or directory");
    }

    #[test]
    fn half_precision_is_widened_and_integers_refused() {
        let bytes = [f16::from_f32(1.5).to_le_bytes(), f16::from_f32(-2.0).to_le_bytes()].concat();
        let view = TensorView::new(Dtype::F16, vec![2], &bytes).unwrap();
        assert_eq!(values("t", &view).unwrap(), [1.5, -2.0]);
        let view = TensorView::new(Dtype::BF16, vec![1], &[0xc0, 0x3f]).unwrap();
        assert_eq!(values("t", &view).unwrap(), [1.5]);
        let view = TensorView::new(Dtype::I8, vec![1], &[1]).unwrap();
        assert!(values("t", &view).unwrap_err().to_string().starts_with("tensor t is of type I8"));
    }
}
