//! Files in f16 or bf16, whole or in part, become f32 files as they are read: each of their numbers is an f32 too, and what is computed of
//! them is more exact. Where such a file rounds on its way, Densight does not, but for values that are cast to f16 and back at once: nothing
//! else can be meant by that.

use std::collections::HashSet;

use tract_onnx::pb::{
    AttributeProto, GraphProto, TensorProto, ValueInfoProto, tensor_proto::DataType, type_proto::Value,
};

/// Makes all of a graph f32 that is f16 or bf16.
pub(super) fn widen(graph: &mut GraphProto) {
    graph.initializer.iter_mut().for_each(tensor);
    let rounded = rounded(graph);
    // What is said of their type would have to stay as it is; it is inferred.
    graph.value_info.retain(|value| !rounded.contains(&value.name));
    let nodes = graph.node.iter_mut().filter(|node| node.output.iter().all(|output| !rounded.contains(output)));
    for attribute in nodes.flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().for_each(tensor);
        type_number(attribute);
    }
    let ends = graph.input.iter_mut().chain(&mut graph.output);
    ends.chain(&mut graph.value_info).for_each(value);
}

/// Values that are cast to f16, and that nothing reads but casts back to f32.
fn rounded(graph: &GraphProto) -> HashSet<String> {
    let casts = |kind: DataType| {
        graph.node.iter().filter(move |node| {
            let is_to = |attribute: &AttributeProto| attribute.name == "to" && attribute.i == kind as i64;
            node.op_type == "Cast" && node.attribute.iter().any(is_to)
        })
    };
    let mut rounded: HashSet<String> = casts(DataType::Float16)
        .flat_map(|node| node.output.first().cloned())
        .filter(|name| !name.is_empty())
        .collect();
    let back: HashSet<&str> = casts(DataType::Float).flat_map(|node| node.output.first().map(String::as_str)).collect();
    let others =
        graph.node.iter().filter(|node| node.output.first().is_none_or(|output| !back.contains(output.as_str())));
    let read = others.flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
    read.for_each(|name| _ = rounded.remove(name));
    rounded
}

fn is_half(number: i64) -> bool {
    [DataType::Float16, DataType::Bfloat16].iter().any(|kind| *kind as i64 == number)
}

/// `Cast` and others name a type by its number.
fn type_number(attribute: &mut AttributeProto) {
    if ["to", "output_dtype"].contains(&attribute.name.as_str()) && is_half(attribute.i) {
        attribute.i = DataType::Float as i64;
    }
}

fn value(value: &mut ValueInfoProto) {
    if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        && is_half(tensor.elem_type.into())
    {
        tensor.elem_type = DataType::Float as i32;
    }
}

fn tensor(tensor: &mut TensorProto) {
    let wide = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float16) => |bits: u16| half::f16::from_bits(bits).to_f32(),
        Ok(DataType::Bfloat16) => |bits: u16| half::bf16::from_bits(bits).to_f32(),
        _ => return,
    };
    // An odd byte is found later: the tensor is not whole.
    if !tensor.raw_data.len().is_multiple_of(2) {
        return;
    }
    let stored = tensor.raw_data.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
    let listed = tensor.int32_data.iter().map(|&bits| bits as u16);
    tensor.raw_data = stored.chain(listed).flat_map(|bits| wide(bits).to_le_bytes()).collect();
    tensor.int32_data.clear();
    tensor.data_type = DataType::Float as i32;
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{Nodes, int, value as image};
    use super::*;

    #[test]
    fn every_half_is_an_f32_afterwards() {
        let numbers = [1.5_f32, -0.25, 65504.0];
        let half = |kind: DataType, raw: bool| {
            let bits = numbers.map(|n| match kind {
                DataType::Float16 => half::f16::from_f32(n).to_bits(),
                _ => half::bf16::from_f32(n).to_bits(),
            });
            TensorProto {
                dims: vec![3],
                data_type: kind as i32,
                raw_data: if raw { bits.iter().flat_map(|b| b.to_le_bytes()).collect() } else { vec![] },
                int32_data: if raw { vec![] } else { bits.map(i32::from).to_vec() },
                ..Default::default()
            }
        };
        for (kind, last) in [(DataType::Float16, 65504.0_f32), (DataType::Bfloat16, 65536.0)] {
            let mut nodes = Nodes::default();
            nodes.add_to("Cast", "cast", &["x"], vec![int("to", kind as i64)], "y".into());
            let mut input = image("x", &[1, 3, 2, 2]);
            if let Some(Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
                tensor.elem_type = kind as i32;
            }
            let mut graph = GraphProto {
                node: nodes.list,
                initializer: vec![half(kind, true), half(kind, false)],
                input: vec![input],
                ..Default::default()
            };
            graph.output.push(image("y", &[1, 3, 2, 2]));
            widen(&mut graph);
            let expected: Vec<u8> = [1.5_f32, -0.25, last].iter().flat_map(|n| n.to_le_bytes()).collect();
            assert!(
                graph.initializer.iter().all(|t| t.data_type == 1 && t.raw_data == expected && t.int32_data.is_empty())
            );
            assert_eq!((graph.node[0].attribute[0].i, &graph.input[0]), (1, &image("x", &[1, 3, 2, 2])));
        }
    }

    #[test]
    fn a_cast_that_is_undone_at_once_stays() {
        let cast = |nodes: &mut Nodes, name: &str, x: &str, kind: DataType, y: &str| {
            nodes.add_to("Cast", name, &[x], vec![int("to", kind as i64)], y.into());
        };
        let kinds = |read_by_another: bool| {
            let mut nodes = Nodes::default();
            cast(&mut nodes, "narrow", "x", DataType::Float16, "h");
            cast(&mut nodes, "back", "h", DataType::Float, "y");
            cast(&mut nodes, "again", "h", DataType::Float, "z");
            cast(&mut nodes, "alone", "y", DataType::Float16, "a");
            if read_by_another {
                nodes.add_to("Relu", "relu", &["h"], vec![], "r".into());
            }
            let value_info = vec![image("h", &[1, 3, 2, 2]), image("y", &[1, 3, 2, 2])];
            let output = vec![image("a", &[1, 3, 2, 2])];
            let mut graph = GraphProto { node: nodes.list, output, value_info, ..Default::default() };
            widen(&mut graph);
            let kinds: Vec<i64> = graph.node.iter().flat_map(|node| &node.attribute).map(|to| to.i).collect();
            (kinds, graph.value_info.len())
        };
        assert_eq!(kinds(false), (vec![10, 1, 1, 1], 1));
        assert_eq!(kinds(true), (vec![1, 1, 1, 1], 2));
    }
}
