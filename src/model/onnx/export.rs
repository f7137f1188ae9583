//! A configured network with its weights as an ONNX graph.

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto};

use super::super::{Architecture, BatchNorm, Conv, DenseNetConfig, Metadata, Stage, Weights, count};
use super::nodes::{Nodes, float, initializer, int, ints, value};
use super::{OPSET, properties};
use crate::error::{Error, ErrorKind, Result};

/// The network of `config` with `weights` as the bytes of an ONNX file: input `input` `[1, 3, side, side]`, output
/// `logits` `[1, num_classes]`, initializers under the reference implementation's tensor names. `metadata` goes into
/// `metadata_props`, with `config` in place of its own.
///
/// # Errors
/// [`ErrorKind::Config`] for a configuration that is no network or whose input is too small,
/// [`ErrorKind::Labels`] if there are labels and not one for each class.
pub fn export(config: &DenseNetConfig, weights: &Weights, metadata: &Metadata) -> Result<Vec<u8>> {
    let net = Architecture::of(config)?;
    count(config)?;
    if let Some(labels) = metadata.labels.as_ref().filter(|labels| labels.len() != config.num_classes) {
        let message = format!("there are {} labels for a network of {} classes", labels.len(), config.num_classes);
        return Err(Error::new(ErrorKind::Labels, message));
    }
    let metadata = Metadata { config: Some(config.clone()), ..metadata.clone() };
    let graph = GraphProto {
        name: metadata.name.clone().unwrap_or_else(|| "densenet".into()),
        node: nodes(&net),
        initializer: net.tensors().iter().map(|spec| initializer(&spec.name, weights.tensor(&spec.name))).collect(),
        input: vec![value("input", &[1, 3, config.side(), config.side()])],
        output: vec![value("logits", &[1, config.num_classes])],
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: 8,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        graph: Some(graph),
        metadata_props: properties::write(&metadata),
        ..Default::default()
    };
    Ok(model.encode_to_vec())
}

fn nodes(net: &Architecture) -> Vec<tract_onnx::pb::NodeProto> {
    let mut nodes = Nodes::default();
    let mut x = conv(&mut nodes, &net.stem.conv, "input");
    if let Some(bn) = &net.stem.norm {
        x = norm_relu(&mut nodes, bn, &x);
        let window = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1; 4])];
        x = nodes.add("MaxPool", "features.pool0", &[&x], window);
    }
    for (i, block) in net.blocks.iter().enumerate() {
        let name = format!("features.denseblock{}", i + 1);
        let mut features = vec![x];
        for layer in &block.layers {
            let mut y = concat(&mut nodes, &layer.name, &features);
            for part in &layer.stages {
                y = stage(&mut nodes, part, &y);
            }
            features.push(y);
        }
        x = concat(&mut nodes, &name, &features);
        if let Some(transition) = net.transitions.get(i) {
            x = stage(&mut nodes, transition, &x);
            let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            x = nodes.add("AveragePool", &format!("features.transition{}.pool", i + 1), &[&x], window);
        }
    }
    x = norm_relu(&mut nodes, &net.norm_final, &x);
    x = nodes.add("GlobalAveragePool", "avgpool", &[&x], vec![]);
    x = nodes.add("Flatten", "flatten", &[&x], vec![int("axis", 1)]);
    let name = &net.classifier.name;
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    nodes.add_to("Gemm", name, &[&x, &weight, &bias], vec![int("transB", 1)], "logits".into());
    nodes.list
}

/// The features so far in one tensor; a single one needs no node.
fn concat(nodes: &mut Nodes, name: &str, features: &[String]) -> String {
    match features {
        [one] => one.clone(),
        _ => {
            let inputs: Vec<&str> = features.iter().map(String::as_str).collect();
            nodes.add("Concat", &format!("{name}.concat"), &inputs, vec![int("axis", 1)])
        }
    }
}

fn stage(nodes: &mut Nodes, stage: &Stage, x: &str) -> String {
    let rectified = norm_relu(nodes, &stage.norm, x);
    conv(nodes, &stage.conv, &rectified)
}

fn norm_relu(nodes: &mut Nodes, norm: &BatchNorm, x: &str) -> String {
    let [scale, offset, mean, variance] = norm.tensors().map(|spec| spec.name);
    let inputs = [x, &scale, &offset, &mean, &variance];
    let y = nodes.add("BatchNormalization", &norm.name, &inputs, vec![float("epsilon", 1e-5)]);
    nodes.add("Relu", &format!("{}.relu", norm.name), &[&y], vec![])
}

fn conv(nodes: &mut Nodes, conv: &Conv, x: &str) -> String {
    let Conv { name, kernel, stride, padding, .. } = conv;
    let attributes = vec![
        ints("kernel_shape", &[*kernel as i64; 2]),
        ints("strides", &[*stride as i64; 2]),
        ints("pads", &[*padding as i64; 4]),
    ];
    nodes.add("Conv", name, &[x, &conv.weight().name], attributes)
}
