//! Masked assignments, `scores[mask] = f(scores[mask])`, as a choice between two tensors.
//!
//! Exporters write them with lists as long as the mask has true values: `NonZero` lists their positions, `GatherND` reads the values there,
//! other nodes compute with the list, and `ScatterND` writes it back. How long the lists are depends on the picture, which no engine here
//! plans for. Where
//!
//! - every list that is combined is of the same mask, one value for each of its true values in their order, or is one number, and
//! - mask, what was read and what is written to have the same extents,
//!
//! the same is computed for all values, and `Where` takes it where the mask is true. torchxrayvision's networks scale each finding by its
//! operating point in this way.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

use super::super::Limits;
use super::GraphInput;
use super::fuse::{Attributes, Constants, Extents, inferred, name_of, some_of};
use super::operators::Names;

/// The operators that lists begin and end with; nothing else of this program knows them.
const LISTING: [&str; 3] = ["NonZero", "GatherND", "ScatterND"];

/// Operators that compute each value from one value of each input.
const ELEMENTWISE: [&str; 16] = [
    "Abs", "Add", "Cast", "Clip", "Div", "Exp", "Identity", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Sigmoid",
    "Sqrt", "Sub",
];

/// What a tensor is, if it is about the true values of a mask. Masks go by the name of the tensor they are made of.
#[derive(Debug, Clone, PartialEq)]
enum Listed {
    /// Their positions: a row for each axis, or after a transposition a row for each value.
    Axes(String),
    Positions(String),
    /// The values of a tensor there, in order.
    Values {
        of: String,
        mask: String,
    },
    /// The mask as a list.
    Mask(String),
    /// The extents of the positions, and how many true values there are.
    Extents(String),
    Count(String),
}

/// Puts `Where` in the place of the masked assignments of `graph`, whose nodes are in order.
///
/// # Errors
/// One sentence, for lists of which that cannot be made.
pub(super) fn fold(graph: &mut GraphProto, input: &GraphInput, limits: &Limits) -> Result<(), String> {
    let listing = |node: &NodeProto| LISTING.contains(&node.op_type.as_str());
    if !graph.node.iter().any(listing) {
        return Ok(());
    }
    let names = Names::of(graph);
    let dims = vec![1, input.channels, input.height, input.width];
    let mut folding = Folding {
        constants: Constants::of(graph, limits.constants),
        extents: HashMap::from([(input.name.clone(), (dims, DataType::Float))]),
        makers: graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect(),
        listed: HashMap::new(),
        nodes: Vec::with_capacity(graph.node.len()),
        names,
    };
    graph.node.iter().for_each(|node| folding.visit(node));
    let Folding { nodes, listed, .. } = folding;
    let listed: HashSet<String> = listed.into_keys().collect();
    graph.node = nodes;
    drop_unread(graph, &listed);
    match graph.node.iter().find(|node| listing(node)) {
        Some(node) => Err(format!(
            "node {} ({}): a list whose length depends on the picture is understood only where a mask of the same extents picks what is computed and written back",
            name_of(node),
            node.op_type
        )),
        None => Ok(()),
    }
}

/// Drops the nodes that give nothing but lists that nobody reads.
fn drop_unread(graph: &mut GraphProto, listed: &HashSet<String>) {
    let mut read: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut kept: Vec<NodeProto> = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().all(|name| listed.contains(name) && !read.contains(name)) {
            continue;
        }
        read.extend(node.input.iter().cloned());
        kept.push(node);
    }
    kept.reverse();
    graph.node = kept;
}

struct Folding<'a> {
    constants: Constants<'a>,
    extents: HashMap<String, Extents>,
    makers: HashMap<&'a str, &'a NodeProto>,
    listed: HashMap<String, Listed>,
    nodes: Vec<NodeProto>,
    names: Names,
}

impl Folding<'_> {
    /// Takes over a node, or what comes in its place.
    fn visit(&mut self, node: &NodeProto) {
        if node.op_type == "ScatterND"
            && let Some(choice) = self.choice(node)
        {
            // What is written to has these extents, and so has the result.
            let base = self.extents_of(&node.input[0]);
            self.extents.extend(node.output.iter().cloned().zip(base));
            self.nodes.push(choice);
            return;
        }
        self.infer(node);
        self.nodes.push(node.clone());
        if let (Some(listed), [output]) = (self.list(node), node.output.as_slice()) {
            self.listed.insert(output.clone(), listed);
        }
    }

    /// Keeps the extents of what a node gives; what the file declares may be wrong.
    fn infer(&mut self, node: &NodeProto) {
        let inputs: Vec<Option<Extents>> = node.input.iter().map(|name| self.extents_of(name)).collect();
        if let ("Shape", [output], [Some((dims, _))]) = (node.op_type.as_str(), &node.output[..], &inputs[..]) {
            let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
            self.constants.insert(output, some_of(dims, node.int("start"), node.int("end")));
        } else if let Some(outputs) = inferred(node, &inputs, &self.constants) {
            self.extents.extend(node.output.iter().cloned().zip(outputs));
        }
    }

    /// What a node gives, if it is about the true values of a mask.
    fn list(&mut self, node: &NodeProto) -> Option<Listed> {
        let first = node.input.first()?;
        match (node.op_type.as_str(), self.listed.get(first).cloned()) {
            ("NonZero", None) => Some(Listed::Axes(self.mask(first)?)),
            ("Transpose", Some(Listed::Axes(mask))) => {
                node.ints("perm").is_none_or(|perm| perm == [1, 0]).then_some(Listed::Positions(mask))
            }
            ("GatherND", None) => match self.listed.get(node.input.get(1)?)? {
                Listed::Positions(mask) if self.same_dims(first, mask) => {
                    Some(Listed::Values { of: first.clone(), mask: mask.clone() })
                }
                _ => None,
            },
            ("Shape", Some(Listed::Positions(mask))) if node.attribute.is_empty() => Some(Listed::Extents(mask)),
            ("Shape", Some(Listed::Values { mask, .. })) if node.attribute.is_empty() => Some(Listed::Count(mask)),
            ("Gather", Some(Listed::Extents(mask))) => {
                (self.whole(node, 1)? == [0] && node.int("axis").unwrap_or(0) == 0).then_some(Listed::Count(mask))
            }
            ("Unsqueeze" | "Squeeze" | "Cast" | "Identity", Some(Listed::Count(mask))) => Some(Listed::Count(mask)),
            ("Reshape", None) => {
                // As a mask is listed, so are the values that it picks.
                let mask = self.extents_of(first).filter(|(_, kind)| *kind == DataType::Bool);
                (mask.is_some() && self.whole(node, 1)? == [-1]).then_some(Listed::Mask(self.mask(first)?))
            }
            ("Cast", Some(Listed::Mask(mask))) => Some(Listed::Mask(mask)),
            ("ReduceSum", Some(Listed::Mask(mask))) => {
                let all = node.input.len() < 2 && node.ints("axes").is_none_or(|axes| axes == [0])
                    || node.input.len() == 2 && self.whole(node, 1)? == [0];
                all.then_some(Listed::Count(mask))
            }
            ("Reshape", Some(values @ Listed::Values { .. })) => (self.whole(node, 1)? == [-1]).then_some(values),
            ("Reshape", Some(count @ Listed::Count(_))) => {
                matches!(self.whole(node, 1)?[..], [] | [-1] | [1]).then_some(count)
            }
            ("Expand", Some(Listed::Values { of, mask })) => {
                let count = self.listed.get(node.input.get(1)?) == Some(&Listed::Count(mask.clone()));
                count.then_some(Listed::Values { of, mask })
            }
            ("Slice", Some(Listed::Values { of, mask })) => {
                let to_count = self.listed.get(node.input.get(2)?) == Some(&Listed::Count(mask.clone()));
                let rest =
                    (3..node.input.len()).all(|at| self.whole(node, at).is_some_and(|v| v == [i64::from(at == 4)]));
                (self.whole(node, 1)? == [0] && to_count && rest).then_some(Listed::Values { of, mask })
            }
            (op, _) if ELEMENTWISE.contains(&op) => self.computed(node),
            _ => None,
        }
    }

    /// A node that computes with the values of one mask: the same for all values is put beside it.
    fn computed(&mut self, node: &NodeProto) -> Option<Listed> {
        let mut picked: Option<&String> = None;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            match self.listed.get(name) {
                Some(Listed::Values { of, mask }) if picked.is_none_or(|known| known == mask) => {
                    picked = Some(mask);
                    inputs.push(of.clone());
                }
                Some(_) => return None,
                // One number meets lists and tensors alike.
                None => {
                    let (dims, _) = self.extents_of(name).filter(|_| !name.is_empty())?;
                    (dims.len() <= 1 && dims.iter().all(|&dim| dim == 1)).then_some(())?;
                    inputs.push(name.clone());
                }
            }
        }
        let mask = picked?.clone();
        let output = self.names.fresh(&format!("{}.all", node.output.first()?));
        let whole = NodeProto {
            name: self.names.fresh(&format!("{}.all", name_of(node))),
            input: inputs,
            output: vec![output.clone()],
            ..node.clone()
        };
        self.infer(&whole);
        self.nodes.push(whole);
        Some(Listed::Values { of: output, mask })
    }

    /// `Where` in the place of a `ScatterND`.
    fn choice(&self, node: &NodeProto) -> Option<NodeProto> {
        let [base, positions, values] = node.input.as_slice() else { return None };
        let Listed::Positions(mask) = self.listed.get(positions)? else { return None };
        let of = match self.listed.get(values)? {
            Listed::Values { of, mask: own } if own == mask => of,
            _ => return None,
        };
        let (base_extents, of_extents) = (self.extents_of(base)?, self.extents_of(of)?);
        (base_extents == of_extents && self.same_dims(base, mask)).then(|| NodeProto {
            op_type: "Where".into(),
            input: vec![mask.clone(), of.clone(), base.clone()],
            attribute: vec![],
            ..node.clone()
        })
    }

    /// The tensor that a mask is made of: expanding it to the extents that it has is nothing.
    fn mask(&self, name: &str) -> Option<String> {
        let mut name = name;
        let (dims, kind) = self.extents_of(name)?;
        (kind == DataType::Bool).then_some(())?;
        while let Some(node) =
            self.makers.get(name).filter(|node| ["Expand", "Identity"].contains(&node.op_type.as_str()))
        {
            let before = node.input.first()?;
            if self.extents_of(before)?.0 != dims {
                break;
            }
            name = before;
        }
        Some(name.into())
    }

    fn same_dims(&self, one: &str, other: &str) -> bool {
        let dims = |name: &str| self.extents_of(name).map(|(dims, _)| dims);
        dims(one).is_some() && dims(one) == dims(other)
    }

    fn extents_of(&self, name: &str) -> Option<Extents> {
        self.extents.get(name).cloned().or_else(|| self.constants.extents(name))
    }

    /// An input's whole numbers, if they are known.
    fn whole(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        Some(self.constants.get(node.input.get(at)?)?.whole()?.to_vec())
    }
}

#[cfg(test)]
mod tests;
