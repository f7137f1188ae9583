//! Changes to files, for tests.

use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto};

/// A file's bytes after a change.
pub(crate) fn changed(bytes: &[u8], change: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut proto = ModelProto::decode(bytes).expect("a file");
    change(&mut proto);
    proto.encode_to_vec()
}

/// Puts `the node` of operator `op` in front of the first node that is called so.
pub(crate) fn in_front(proto: &mut ModelProto, called: &str, op: &str) {
    let graph = proto.graph.as_mut().expect("a graph");
    let at = graph.node.iter().position(|node| node.name.contains(called)).expect("such a node");
    let from = std::mem::replace(&mut graph.node[at].input[0], "between".into());
    let (input, output) = (vec![from], vec!["between".into()]);
    let node = NodeProto { op_type: op.into(), name: "the node".into(), input, output, ..Default::default() };
    graph.node.insert(at, node);
}

/// Puts a softmax in front of the graph's output.
pub(crate) fn with_softmax(proto: &mut ModelProto) {
    let graph = proto.graph.as_mut().expect("a graph");
    let from = std::mem::replace(&mut graph.output[0].name, "scores".into());
    let (op_type, output) = ("Softmax".into(), vec!["scores".into()]);
    graph.node.push(NodeProto { op_type, input: vec![from], output, ..Default::default() });
}
