//! The trained numbers of a network under the tensor names of the reference implementation.

mod file;
mod init;
mod names;

use std::collections::BTreeMap;

use super::{Architecture, TensorSpec};
use crate::error::{Error, ErrorKind, Result};

/// An f32 tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub data: Vec<f32>,
}

/// All tensors of one network: exactly those that [`Architecture::tensors`] lists, with finite values.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Takes `tensors` as the weights of `net`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] naming the first tensor that is missing, not part of the network, of another shape,
    /// not finite, or a negative variance.
    pub fn new(tensors: BTreeMap<String, Tensor>, net: &Architecture) -> Result<Self> {
        let specs = net.tensors();
        for spec in &specs {
            let tensor = tensors.get(&spec.name).ok_or_else(|| {
                refuse(format!("tensor {} is missing: the network has it with shape {:?}", spec.name, spec.shape))
            })?;
            check(spec, tensor)?;
        }
        if tensors.len() > specs.len() {
            let known: std::collections::HashSet<&str> = specs.iter().map(|s| s.name.as_str()).collect();
            let extra: Vec<&String> = tensors.keys().filter(|name| !known.contains(name.as_str())).collect();
            let others = if extra.len() > 1 { format!(" (and {} more)", extra.len() - 1) } else { String::new() };
            return Err(refuse(format!("tensor {} is not part of the network{others}", extra[0])));
        }
        Ok(Self { tensors })
    }

    /// The tensor called `name`.
    ///
    /// # Panics
    /// If the network these weights were checked against has no such tensor.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the network has no tensor {name}"))
    }

    /// Every tensor with its name, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

fn check(spec: &TensorSpec, tensor: &Tensor) -> Result<()> {
    let TensorSpec { name, shape } = spec;
    if tensor.shape != *shape {
        return Err(refuse(format!("tensor {name} has shape {:?}, the network needs {shape:?}", tensor.shape)));
    }
    if let Some(at) = tensor.data.iter().position(|v| !v.is_finite()) {
        return Err(refuse(format!("tensor {name} holds {} at position {at}", tensor.data[at])));
    }
    if name.ends_with(".running_var")
        && let Some(at) = tensor.data.iter().position(|&v| v < 0.0)
    {
        let variance = tensor.data[at];
        return Err(refuse(format!("tensor {name} holds the negative variance {variance} at position {at}")));
    }
    Ok(())
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Weights, message)
}

#[cfg(test)]
mod tests {
    use super::super::DenseNetConfig;
    use super::*;

    #[test]
    fn every_kind_of_wrong_tensor_is_named() {
        let config = DenseNetConfig { block_config: vec![1, 1], ..Default::default() };
        let net = Architecture::of(&config).unwrap();
        let good = Weights::init(&net, 1).tensors;
        let said = |change: fn(&mut BTreeMap<String, Tensor>)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            let error = Weights::new(tensors, &net).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Weights);
            error.to_string()
        };
        fn any<'a>(tensors: &'a mut BTreeMap<String, Tensor>, name: &str) -> &'a mut Tensor {
            tensors.get_mut(name).unwrap()
        }
        assert_eq!(
            said(|t| drop(t.remove("classifier.bias"))),
            "tensor classifier.bias is missing: the network has it with shape [10]"
        );
        assert_eq!(
            said(|t| drop(t.insert("head.weight".into(), Tensor { shape: vec![0], data: vec![] }))),
            "tensor head.weight is not part of the network"
        );
        assert!(said(|t| any(t, "classifier.weight").shape.reverse()).contains("classifier.weight has shape"));
        assert!(said(|t| any(t, "features.conv0.weight").data[7] = f32::NAN).ends_with("holds NaN at position 7"));
        assert!(said(|t| any(t, "features.norm_final.running_var").data[2] = -1.0).contains("negative variance -1"));
    }
}
