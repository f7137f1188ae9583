//! Files with their graph changed, for tests.

use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto};

/// The file with its message changed.
pub(crate) fn changed(bytes: &[u8], change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut proto = ModelProto::decode(bytes).expect("an ONNX file");
    change(&mut proto);
    proto.encode_to_vec()
}

/// Puts `the node` in front of the first node whose name has `called` in it; it gives the tensor `between`.
pub(crate) fn in_front(proto: &mut ModelProto, called: &str, op: &str) {
    let graph = proto.graph.as_mut().expect("a graph");
    let at = graph.node.iter().position(|node| node.name.contains(called)).expect("such a node");
    let from = std::mem::replace(&mut graph.node[at].input[0], "between".into());
    let (op_type, name, output) = (op.into(), "the node".into(), vec!["between".into()]);
    graph.node.insert(at, NodeProto { op_type, name, input: vec![from], output, ..Default::default() });
}

/// Puts a node behind the output.
pub(crate) fn behind(proto: &mut ModelProto, op: &str) {
    let graph = proto.graph.as_mut().expect("a graph");
    let from = std::mem::replace(&mut graph.output[0].name, "behind".into());
    let (op_type, output) = (op.into(), vec!["behind".into()]);
    graph.node.push(NodeProto { op_type, input: vec![from], output, ..Default::default() });
}
