//! Quantized operators as what they mean: dequantize, compute in f32, quantize.
//!
//! ONNX has two forms of a quantized network. In the one, *QDQ*, f32 operators stand between `DequantizeLinear` and
//! `QuantizeLinear`; in the other, *QOperator*, both are part of the operator (`QLinearConv`, and the contributed
//! operators of ONNX Runtime). Here the second becomes the first, so that all else knows one form, and so that tract,
//! which refuses most of the second, reads it.

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto};

use super::super::super::{Limit, Limits, Tensor};
use super::super::nodes::{Nodes, initializer, int, ints};
use super::attributes::Attributes;
use super::constants::Constants;
use crate::error::{Error, ErrorKind, Result};
use crate::model::onnx::operators;

/// Where an operator's quantized value, scale and zero point stand among its inputs.
type Triple = [usize; 3];

/// A quantized operator: the f32 operator, its operands, and where scale and zero point of its result are.
struct Form {
    op: &'static str,
    operands: Vec<Triple>,
    /// Place of a bias in i32, whose scale is the product of those of the operands.
    bias: Option<usize>,
    result: [usize; 2],
}

impl Form {
    fn of(node: &NodeProto) -> Option<Self> {
        let unary = |op| Self { op, operands: vec![[0, 1, 2]], bias: None, result: [3, 4] };
        let binary = |op, bias, result| Self { op, operands: vec![[0, 1, 2], [3, 4, 5]], bias, result };
        Some(match node.op_type.as_str() {
            "QLinearConv" => binary("Conv", Some(8), [6, 7]),
            "QLinearMatMul" => binary("MatMul", None, [6, 7]),
            "QGemm" => binary("Gemm", Some(6), [7, 8]),
            "QLinearAdd" => binary("Add", None, [6, 7]),
            "QLinearMul" => binary("Mul", None, [6, 7]),
            "QLinearAveragePool" => unary("AveragePool"),
            "QLinearGlobalAveragePool" => unary("GlobalAveragePool"),
            "QLinearSigmoid" => unary("Sigmoid"),
            "QLinearSoftmax" => unary("Softmax"),
            "QLinearLeakyRelu" => unary("LeakyRelu"),
            "QLinearConcat" => {
                let operands = (2..node.input.len()).step_by(3).map(|at| [at, at + 1, at + 2]).collect();
                Self { op: "Concat", operands, bias: None, result: [0, 1] }
            }
            _ => return None,
        })
    }
}

/// Operators that ONNX Runtime has add the zero point before they round, where `QuantizeLinear` and all others round first: values half-way
/// between two differ.
const ZERO_POINT_FIRST: [&str; 3] = ["QLinearAdd", "QLinearAveragePool", "QLinearMul"];
/// What tells a `QuantizeLinear` behind one of them: no attribute does.
const MARK: &str = "adds its zero point before it rounds";

/// Whether a `QuantizeLinear` stands behind what was such an operator.
pub fn adds_zero_point_first(node: &NodeProto) -> bool {
    node.doc_string == MARK
}

/// Replaces the quantized operators of `graph`; the others are left as they are.
///
/// # Errors
/// [`ErrorKind::Model`] for a bias whose scales are not known, or where the scales of biases are beyond `limits`.
pub(in super::super) fn expand(graph: &mut GraphProto, limits: &Limits) -> Result<()> {
    if !graph.node.iter().any(|node| Form::of(node).is_some()) {
        return Ok(());
    }
    let biases: Vec<Option<Tensor>> = {
        let constants = Constants::of(graph, limits.constants);
        let bias = |node: &NodeProto| {
            let Some(form) = Form::of(node) else { return Ok(None) };
            let scales = bias_scales(node, &form, &constants);
            let given = form.bias.and_then(|at| node.input.get(at)).is_some_and(|name| !name.is_empty());
            limits.check(Limit::Constants, Some(constants.computed_bytes()))?;
            if given && scales.is_none() {
                let what = "its bias, or a scale, is not in the file or does not fit";
                let at = format!("node {} ({})", operators::name(node), node.op_type);
                return Err(Error::new(ErrorKind::Model, what).at(at));
            }
            Ok(scales)
        };
        graph.node.iter().map(bias).collect::<Result<_>>()?
    };
    let nodes = std::mem::take(&mut graph.node);
    for (node, bias) in nodes.into_iter().zip(biases) {
        match Form::of(&node) {
            Some(form) => {
                let scales = bias.map(|scales| {
                    let name = format!("{}.bias_scale", node.output[0]);
                    graph.initializer.push(initializer(&name, &scales));
                    name
                });
                graph.node.extend(expanded(&node, &form, scales));
            }
            None => graph.node.push(node),
        }
    }
    Ok(())
}

/// The scales of the bias: one for each output channel.
fn bias_scales(node: &NodeProto, form: &Form, constants: &Constants<'_>) -> Option<Tensor> {
    let bias = constants.get(node.input.get(form.bias?).filter(|name| !name.is_empty())?)?;
    let scale = |place: &Triple| Some(constants.get(node.input.get(place[1])?)?.real());
    let (x, w) = (scale(form.operands.first()?)?, scale(form.operands.get(1)?)?);
    let channels = bias.len();
    let (&[x], true) = (x.as_slice(), w.len() == 1 || w.len() == channels) else { return None };
    // Of `QGemm`, the product of the matrices is scaled, and the bias added to it as it is.
    let factor = node.float("alpha").unwrap_or(1.0);
    let data = (0..channels).map(|c| factor * x * w[if w.len() == 1 { 0 } else { c }]).collect();
    Some(Tensor { shape: vec![channels], data })
}

/// The nodes that a quantized operator is: its operands dequantized, the f32 operator, its result quantized.
fn expanded(node: &NodeProto, form: &Form, bias_scales: Option<String>) -> Vec<NodeProto> {
    let result = &node.output[0];
    let mut nodes = Nodes::default();
    let inputs = dequantized(&mut nodes, node, form, bias_scales);
    let [scale, zero_point] = form.result.map(|at| given(node, at));
    let Some(scale) = scale else {
        // `QGemm` without a result's scale gives f32 values.
        nodes.add_to(form.op, &node.name, &strs(&inputs), attributes(node, form), result.clone());
        return nodes.list;
    };
    let f32_result = format!("{result}.f32");
    if node.op_type == "QLinearSoftmax" && node.int("opset").is_some_and(|opset| opset < 13) {
        softmax_of_matrix(&mut nodes, node, &inputs[0], &f32_result);
    } else {
        nodes.add_to(form.op, &node.name, &strs(&inputs), attributes(node, form), f32_result.clone());
    }
    let inputs: Vec<&str> = [Some(f32_result.as_str()), Some(scale), zero_point].into_iter().flatten().collect();
    nodes.add_to("QuantizeLinear", &format!("{result}.quantized"), &inputs, vec![], result.clone());
    if let Some(quantizer) = nodes.list.last_mut()
        && ZERO_POINT_FIRST.contains(&node.op_type.as_str())
    {
        quantizer.doc_string = MARK.into();
    }
    nodes.list
}

/// An input that is there.
fn given(node: &NodeProto, at: usize) -> Option<&str> {
    node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Adds a `DequantizeLinear` for each operand, and for the bias. Returns what they give.
fn dequantized(nodes: &mut Nodes, node: &NodeProto, form: &Form, bias_scales: Option<String>) -> Vec<String> {
    let result = &node.output[0];
    let mut inputs = Vec::new();
    for (index, place) in form.operands.iter().enumerate() {
        let quantized: Vec<&str> = place.iter().filter_map(|&at| given(node, at)).collect();
        let name = format!("{result}.operand{index}");
        // Weights have one scale for each output; where those stand depends on the operator.
        let axis = match (form.op, index) {
            ("Conv", 1) => 0,
            ("Gemm", 1) => i64::from(node.int("transB").unwrap_or(0) == 0),
            ("MatMul", 1) => -1,
            _ => 1,
        };
        inputs.push(nodes.add_to("DequantizeLinear", &name, &quantized, vec![int("axis", axis)], name.clone()));
    }
    if let (Some(bias), Some(scales)) = (form.bias.and_then(|at| given(node, at)), bias_scales) {
        let name = format!("{result}.bias");
        // Of `QGemm` it may be a row.
        let axis = vec![int("axis", -1)];
        inputs.push(nodes.add_to("DequantizeLinear", &name, &[bias, &scales], axis, name.clone()));
    }
    inputs
}

/// The attributes of the f32 operator.
fn attributes(node: &NodeProto, form: &Form) -> Vec<AttributeProto> {
    let kept = |a: &&AttributeProto| !["channels_last", "opset"].contains(&a.name.as_str());
    let mut attributes: Vec<AttributeProto> = node.attribute.iter().filter(kept).cloned().collect();
    if form.op == "AveragePool" && [node.int("ceil_mode"), node.int("count_include_pad")] == [Some(1); 2] {
        // ONNX Runtime divides by the whole window, also where it reaches beyond the padding; an `AveragePool` does not count that.
        attributes.retain(|attribute| !["ceil_mode", "pads"].contains(&attribute.name.as_str()));
        attributes.push(ints("pads", &operators::pads_without_ceil(node)));
    }
    attributes
}

/// Before opset 13 a softmax is one of matrices: its input is flattened, and shaped again behind it.
fn softmax_of_matrix(nodes: &mut Nodes, node: &NodeProto, input: &str, result: &str) {
    let [shape, flat, soft] = ["shape", "flat", "soft"].map(|part| format!("{}.{part}", node.output[0]));
    nodes.add_to("Shape", &shape, &[input], vec![], shape.clone());
    let axis = vec![int("axis", node.int("axis").unwrap_or(-1))];
    nodes.add_to("Flatten", &flat, &[input], axis, flat.clone());
    nodes.add_to("Softmax", &soft, &[&flat], vec![int("axis", 1)], soft.clone());
    nodes.add_to("Reshape", &node.name, &[&soft, &shape], vec![], result.into());
}
