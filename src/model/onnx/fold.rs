//! Constants that a graph computes become initializers, so that tract reads them and need not compute them while it reads the graph.

use std::collections::HashSet;

use tract_onnx::pb::{GraphProto, TensorProto, tensor_proto::DataType};

use super::super::{Limit, Limits};
use super::fuse::{Constant, Constants, Values};
use super::growth::constant_nodes;
use crate::error::Result;

/// Puts an initializer in the place of each node that computes a constant in a way that is known here.
///
/// # Errors
/// [`crate::error::ErrorKind::Model`] for constants beyond the limits.
pub(super) fn fold(graph: &mut GraphProto, limits: &Limits) -> Result<()> {
    let mut folded: Vec<TensorProto> = Vec::new();
    {
        let constants = Constants::of(graph, limits.constants);
        for node in constant_nodes(graph) {
            let [output] = node.output.as_slice() else { continue };
            if node.op_type == "Constant" {
                continue;
            }
            folded.extend(constants.get(output).and_then(|constant| tensor(output, &constant)));
        }
        limits.check(Limit::Constants, Some(constants.computed_bytes()))?;
    }
    let names: HashSet<&str> = folded.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.node.retain(|node| !node.output.iter().any(|output| names.contains(output.as_str())));
    graph.initializer.extend(folded);
    Ok(())
}

/// A constant in the form of the file; `None` for types that are not written.
fn tensor(name: &str, constant: &Constant) -> Option<TensorProto> {
    let raw_data = match (constant.kind, &constant.values) {
        (DataType::Float, Values::F32(values)) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        (DataType::Int64, Values::Whole(values)) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        (DataType::Int32, Values::Whole(values)) => {
            let narrow: Option<Vec<i32>> = values.iter().map(|&value| i32::try_from(value).ok()).collect();
            narrow?.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        (DataType::Int8, Values::Whole(values)) => values
            .iter()
            .map(|&value| i8::try_from(value).ok().map(|value| value as u8))
            .collect::<Option<Vec<u8>>>()?,
        (DataType::Uint8, Values::Whole(values)) => {
            values.iter().map(|&value| u8::try_from(value).ok()).collect::<Option<Vec<u8>>>()?
        }
        _ => return None,
    };
    let dims = constant.dims.iter().map(|&dim| dim as i64).collect();
    Some(TensorProto { name: name.into(), dims, data_type: constant.kind as i32, raw_data, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{Nodes, int};
    use super::*;

    #[test]
    fn what_is_computed_is_stored() {
        let mut nodes = Nodes::default();
        nodes.add_to("Cast", "cast", &["list"], vec![int("to", DataType::Int32 as i64)], "narrow".into());
        nodes.add_to("Cast", "back", &["narrow"], vec![int("to", DataType::Int64 as i64)], "wide".into());
        nodes.add_to("Add", "add", &["image", "wide"], vec![], "sum".into());
        nodes.add_to("Strange", "strange", &["wide"], vec![], "kept".into());
        let list = TensorProto {
            name: "list".into(),
            dims: vec![2],
            data_type: DataType::Int64 as i32,
            int64_data: vec![5, -7],
            ..Default::default()
        };
        let mut graph = GraphProto { node: nodes.list, initializer: vec![list], ..Default::default() };
        fold(&mut graph, &Limits::DEFAULT).unwrap();
        let left: Vec<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(left, ["add", "strange"]);
        let wide = graph.initializer.iter().find(|tensor| tensor.name == "wide").unwrap();
        assert_eq!((wide.data_type, &wide.dims[..]), (DataType::Int64 as i32, &[2][..]));
        assert_eq!(wide.raw_data, [5_i64.to_le_bytes(), (-7_i64).to_le_bytes()].concat());
    }
}
