//! Whether a graph asks for nothing but what the table lists.

use std::collections::BTreeMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, attribute_proto::AttributeType};

use super::table::TABLE;
use super::{Allowed, Attribute, Definition, MICROSOFT, NEWEST, OLDEST};

/// The versions of operators that a file imports, by domain; `""` is ONNX's own.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Opsets(BTreeMap<String, i64>);

impl Opsets {
    /// Those that a file imports.
    ///
    /// # Errors
    /// A sentence: two versions of one domain, none of ONNX's own, or one that is not read.
    pub(in super::super) fn of(imports: &[OperatorSetIdProto]) -> Result<Self, String> {
        let mut versions = BTreeMap::new();
        for import in imports {
            let domain = plain_domain(&import.domain);
            if versions.insert(domain.to_owned(), import.version).is_some_and(|other| other != import.version) {
                return Err(format!("the file imports two versions of the operators of {}", shown(domain)));
            }
        }
        let Some(&opset) = versions.get("") else {
            return Err("the file does not say which opset it is written in: export it again".into());
        };
        if !(OLDEST..=NEWEST).contains(&opset) {
            return Err(format!(
                "the file is written in opset {opset}: Densight reads 6 to {NEWEST}, export it in one of those"
            ));
        }
        Ok(Self(versions))
    }

    fn version(&self, domain: &str) -> i64 {
        // ONNX Runtime, whose domain it is, does not ask for an import either, and there is one version.
        self.0.get(domain).copied().unwrap_or(1)
    }
}

fn plain_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn shown(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// Name of a node, or of its first output where it has none.
pub(in super::super) fn name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("?", String::as_str) } else { &node.name }
}

/// Refuses a graph whose nodes ask for more than is understood.
///
/// # Errors
/// One sentence that names the node, its operator and what of it is not understood.
pub(in super::super) fn check(graph: &GraphProto, functions: &[(&str, &str)], opsets: &Opsets) -> Result<(), String> {
    for node in &graph.node {
        if functions.contains(&(node.op_type.as_str(), plain_domain(&node.domain))) {
            return Err(format!(
                "node {} ({}) is a function that the file defines: Densight runs operators, export it without functions",
                name(node),
                node.op_type
            ));
        }
        check_node(node, opsets).map_err(|what| format!("node {} ({}): {what}", name(node), node.op_type))?;
    }
    Ok(())
}

fn check_node(node: &NodeProto, opsets: &Opsets) -> Result<(), String> {
    let row = row(node, opsets)?;
    for attribute in &node.attribute {
        let known = row.attributes.iter().find(|known| known.name == attribute.name);
        let Some(known) = known else {
            return Err(format!("Densight does not know its attribute {} ({})", attribute.name, value(attribute)));
        };
        if node.attribute.iter().filter(|other| other.name == attribute.name).count() > 1 {
            return Err(format!("attribute {} is given twice", attribute.name));
        }
        if attribute.r#type != known.kind as i32 || !attribute.ref_attr_name.is_empty() {
            return Err(format!("attribute {} is of another type than ONNX says", attribute.name));
        }
        if !known.values.contain(attribute) {
            return Err(format!("Densight does not run attribute {} = {}", attribute.name, value(attribute)));
        }
    }
    let missing = row.attributes.iter().find(|a| a.required && !node.attribute.iter().any(|b| b.name == a.name));
    if let Some(Attribute { name, .. }) = missing {
        return Err(format!("it lacks its attribute {name}"));
    }
    check_counts(node, row)?;
    match row.rule {
        Some(rule) => rule(node, opsets.version("")),
        None => Ok(()),
    }
}

fn row(node: &NodeProto, opsets: &Opsets) -> Result<&'static Definition, String> {
    let domain = plain_domain(&node.domain);
    let version = opsets.version(domain);
    let mut rows = TABLE.iter().filter(|row| row.name == node.op_type && row.domain == domain).peekable();
    if rows.peek().is_none() {
        let kind = match (node.op_type.as_str(), domain) {
            ("If" | "Loop" | "Scan", "") => "Densight runs no graphs within a graph".to_owned(),
            (_, "" | MICROSOFT) => format!("Densight does not know this operator of {}", shown(domain)),
            _ => format!("Densight does not know the domain {domain}"),
        };
        return Err(kind);
    }
    rows.find(|row| (row.opsets.0..=row.opsets.1).contains(&version))
        .ok_or_else(|| format!("Densight does not know version {version} of this operator"))
}

fn check_counts(node: &NodeProto, row: &Definition) -> Result<(), String> {
    let within = |count: usize, (least, greatest): (usize, usize), what: &str| match count {
        n if n < least => Err(format!("it has {n} {what}s, and needs {least}")),
        n if n > greatest => Err(format!("it has {n} {what}s, and takes {greatest}")),
        _ => Ok(()),
    };
    within(node.input.len(), row.inputs, "input")?;
    within(node.output.len(), row.outputs, "output")?;
    if let Some(at) = node.input.iter().enumerate().position(|(at, name)| name.is_empty() && !row.gaps.contains(&at)) {
        return Err(format!("its input {at} is left out"));
    }
    match node.output.iter().position(String::is_empty) {
        Some(at) => Err(format!("its output {at} has no name")),
        None => Ok(()),
    }
}

/// Whether the fuser and the evaluation of constants understand the attributes of a node that passed [`check`].
///
/// # Errors
/// Which attribute they do not.
pub(in super::super) fn understood(node: &NodeProto) -> Result<(), String> {
    let rows = || TABLE.iter().filter(|row| row.name == node.op_type && row.domain == plain_domain(&node.domain));
    for attribute in &node.attribute {
        let known = rows().flat_map(|row| row.attributes).find(|known| known.name == attribute.name);
        if !known.is_some_and(|known| known.fused.contain(attribute)) {
            return Err(format!("its attribute {} is {}", attribute.name, value(attribute)));
        }
    }
    if rows().next().is_some() { Ok(()) } else { Err("its operator is not known".into()) }
}

impl Allowed {
    fn contain(self, attribute: &AttributeProto) -> bool {
        let whole = || std::iter::once(&attribute.i).filter(|_| attribute.r#type == AttributeType::Int as i32);
        match self {
            Self::Any => attribute.f.is_finite() && attribute.floats.iter().all(|v| v.is_finite()),
            Self::Between(low, high) => whole().chain(&attribute.ints).all(|v| (low..=high).contains(v)),
            Self::Exactly(value) => attribute.f == value,
            Self::Texts(texts) => texts.iter().any(|text| text.as_bytes() == attribute.s),
        }
    }
}

/// An attribute's value as text.
fn value(attribute: &AttributeProto) -> String {
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i.to_string(),
        Ok(AttributeType::Float) => attribute.f.to_string(),
        Ok(AttributeType::String) => String::from_utf8_lossy(&attribute.s).into_owned(),
        Ok(AttributeType::Ints) => format!("{:?}", attribute.ints),
        Ok(AttributeType::Floats) => format!("{:?}", attribute.floats),
        Ok(kind) => format!("a {}", format!("{kind:?}").to_lowercase()),
        Err(_) => "of no known type".into(),
    }
}
