//! A graph as ONNX wants it: each value written once, before it is read.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, GraphProto};

use super::check::name;

/// How the names of nodes begin that stand for fused networks.
const OWN: &str = "densight.fused.";

/// Drops what says nothing: empty names at the end of inputs and outputs, further outputs that nothing reads, initializers among the
/// graph's inputs, a value that no padding is made of.
pub(in super::super) fn tidy(graph: &mut GraphProto) {
    // Before IR version 4 initializers had to be listed among the inputs.
    let given: HashSet<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
    graph.input.retain(|input| !given.contains(&input.name));
    let read: HashSet<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    let read = |name: &String| read.contains(name) || graph.output.iter().any(|output| output.name == *name);
    for node in &mut graph.node {
        // A value to pad with is read by one mode only.
        let constant = |a: &AttributeProto| a.name != "mode" || a.s == b"constant";
        if node.op_type == "Pad" && !node.attribute.iter().all(constant) {
            node.input.iter_mut().skip(2).take(1).for_each(String::clear);
        }
        for names in [&mut node.input, &mut node.output] {
            while names.last().is_some_and(String::is_empty) {
                names.pop();
            }
        }
        let further = ["BatchNormalization", "Dropout", "LayerNormalization", "MaxPool"];
        while further.contains(&node.op_type.as_str()) && node.output.len() > 1 && !node.output.last().is_some_and(read)
        {
            node.output.pop();
        }
    }
}

/// Gives nodes that are called as another is, or as a tensor that is not theirs, names of their own: tract has one list of names, in
/// which a constant is called as its tensor, and ONNX has two.
pub(in super::super) fn distinguish(graph: &mut GraphProto) {
    let inputs = graph.input.iter().map(|input| &input.name);
    let mut taken: HashSet<String> =
        inputs.chain(graph.initializer.iter().map(|tensor| &tensor.name)).cloned().collect();
    let outputs = graph.node.iter().enumerate();
    let writers: HashMap<String, usize> =
        outputs.flat_map(|(number, node)| node.output.iter().map(move |name| (name.clone(), number))).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (number, node) in graph.node.iter_mut().enumerate() {
        let called = name(node).to_owned();
        let mut own = called.clone();
        while writers.get(&own).is_some_and(|&writer| writer != number) || !taken.insert(own.clone()) {
            let count = counts.entry(called.clone()).or_insert(1);
            *count += 1;
            own = format!("{called} {count}");
        }
        if own != called {
            node.name = own;
        }
    }
}

/// The names of a graph's tensors and nodes, which further ones differ from.
#[derive(Debug, Default)]
pub(in super::super) struct Names(HashSet<String>);

impl Names {
    pub(in super::super) fn of(graph: &GraphProto) -> Self {
        let nodes = graph.node.iter().flat_map(|node| node.output.iter().chain(&node.input).chain([&node.name]));
        let initializers = graph.initializer.iter().map(|tensor| &tensor.name);
        let ends = graph.input.iter().chain(&graph.output).map(|value| &value.name);
        Self(nodes.chain(initializers).chain(ends).cloned().collect())
    }

    /// Takes a name as it is.
    pub(in super::super) fn reserve(&mut self, name: &str) {
        self.0.insert(name.into());
    }

    /// Takes `name`, or one like it where it is taken.
    pub(in super::super) fn fresh(&mut self, name: &str) -> String {
        let mut own = name.to_owned();
        let mut count = 1;
        while !self.0.insert(own.clone()) {
            count += 1;
            own = format!("{name}.{count}");
        }
        own
    }
}

/// Who writes each value: a node, by its number, or nobody (inputs and initializers).
fn writers(graph: &GraphProto) -> Result<HashMap<&str, Option<usize>>, String> {
    let mut writers: HashMap<&str, Option<usize>> = HashMap::new();
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    for name in inputs.chain(graph.initializer.iter().map(|tensor| tensor.name.as_str())) {
        if writers.insert(name, None).is_some() {
            return Err(format!("two inputs or initializers are called {name}"));
        }
    }
    for (number, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if writers.insert(output, Some(number)).is_some() {
                return Err(format!(
                    "node {} ({}) gives {output}, which is given elsewhere too",
                    name(node),
                    node.op_type
                ));
            }
        }
    }
    if let Some(output) = graph.output.iter().find(|output| !writers.contains_key(output.name.as_str())) {
        return Err(format!("no node gives the output {}", output.name));
    }
    Ok(writers)
}

/// Puts nodes in an order in which each reads what was written before.
///
/// # Errors
/// One sentence: a value that is written twice, or not at all, or that depends on itself.
pub(in super::super) fn sort(graph: &mut GraphProto) -> Result<(), String> {
    let names = graph.node.iter().flat_map(|node| std::iter::once(&node.name).chain(&node.output));
    let names = names.chain(graph.initializer.iter().map(|tensor| &tensor.name));
    if let Some(name) = names.chain(graph.input.iter().map(|input| &input.name)).find(|name| name.starts_with(OWN)) {
        return Err(format!("{name} begins as the names do that Densight gives: rename it"));
    }
    let writers = writers(graph)?;
    // How many nodes each waits for, and who waits for it.
    let mut waits = vec![0_usize; graph.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (number, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|name| !name.is_empty()) {
            match writers.get(input.as_str()) {
                Some(Some(writer)) => {
                    waits[number] += 1;
                    readers[*writer].push(number);
                }
                Some(None) => {}
                None => {
                    return Err(format!("node {} ({}) reads {input}, which nothing gives", name(node), node.op_type));
                }
            }
        }
    }
    let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|&number| waits[number] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(number) = ready.pop_first() {
        order.push(number);
        for &reader in &readers[number] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if let Some(number) = waits.iter().position(|&waits| waits > 0) {
        let node = &graph.node[number];
        return Err(format!("node {} ({}) depends on itself", name(node), node.op_type));
    }
    let mut nodes: Vec<Option<_>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
    graph.node = order.into_iter().filter_map(|number| nodes[number].take()).collect();
    Ok(())
}
