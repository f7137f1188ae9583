//! The picture that a graph takes.

use tract_onnx::pb::{
    GraphProto, NodeProto, TensorShapeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value},
    type_proto,
};

use super::nodes::{ints, value};
use super::operators::Names;
use super::refuse;
use crate::error::Result;

/// Name and size of the image a graph takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphInput {
    /// The input's name.
    pub name: String,
    /// Colours: 3, or 1 of a gray image.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Whether the file takes `[1, height, width, channels]`. The graph then begins with a transposition.
    pub channels_last: bool,
}

/// How the name of an input ends that has planes in the place of channels last.
const PLANES: &str = ".planes";
const EXPECTED: &str = "Densight takes f32 pictures, [1, 3, height, width] or [1, 1, height, width]";

/// Finds the graph's one input and sets what is symbolic in its shape: the batch is 1; height and width are those `asked` for, else `open`.
/// Where the file takes channels last, a transposition is put in front.
///
/// # Errors
/// [`crate::error::ErrorKind::Model`] for another input than one f32 picture, for a size that is not known, or another than the file's.
pub(super) fn fix(graph: &mut GraphProto, asked: Option<[usize; 2]>, open: Option<[usize; 2]>) -> Result<GraphInput> {
    let mut inputs = graph.input.iter_mut();
    let input = inputs.next().ok_or_else(|| refuse("the graph has no input"))?;
    if let Some(second) = inputs.next() {
        let (first, second) = (&input.name, &second.name);
        return Err(refuse(format!(
            "the graph has more than one input ({first}, {second}): Densight runs image classifiers"
        )));
    }
    let name = input.name.clone();
    let (shown, [batch, a, b, c]) = four_dims(input)?;
    let colours = |dim: &Dimension| number(dim).filter(|n| [1, 3].contains(n));
    let channels_last = colours(a).is_none() && colours(c).is_some();
    let (channels, height, width) = if channels_last { (c, a, b) } else { (a, b, c) };
    if number(batch).is_some_and(|batch| batch != 1) {
        return Err(refuse(format!(
            "input {name} has the shape {shown}, which is several pictures: {EXPECTED}, export it with a batch of 1 or a symbolic one"
        )));
    }
    set(batch, 1);
    let [height, width] = [(height, 0), (width, 1)].map(|(dim, at)| {
        let known = number(dim);
        let size = known.or_else(|| asked.or(open).map(|size| size[at]));
        size.inspect(|&size| set(dim, size)).ok_or(()).map(|size| (size, known))
    });
    let (Ok(height), Ok(width)) = (height, width) else {
        return Err(refuse(format!(
            "input {name} has no fixed height and width, {shown}: say which, --input-size 224x224 or input_size = [224, 224] in model.toml"
        )));
    };
    if let (Some(asked), (Some(height), Some(width))) = (asked, (height.1, width.1))
        && asked != [height, width]
    {
        return Err(refuse(format!(
            "input {name} is of the shape {shown}, and {}x{} was asked for: leave --input-size (or input_size) out",
            asked[0], asked[1]
        )));
    }
    // A symbolic number of channels is that of colours.
    let channels = match (number(channels), &channels.value) {
        (None, None | Some(Value::DimParam(_))) => {
            set(channels, 3);
            3
        }
        (Some(channels), _) if [1, 3].contains(&channels) => channels,
        _ => return Err(refuse(format!("input {name} has the shape {shown}: {EXPECTED}"))),
    };
    let (height, width) = (height.0, width.0);
    let name = if channels_last { put_channels_first(graph, [channels, height, width]) } else { name };
    Ok(GraphInput { name, channels, height, width, channels_last })
}

/// The dimensions of an input of four, and as they are shown.
fn four_dims(input: &mut ValueInfoProto) -> Result<(String, [&mut Dimension; 4])> {
    let name = input.name.clone();
    let found = tensor_dims(input);
    let (elem_type, dims) =
        found.ok_or_else(|| refuse(format!("input {name} is no tensor of known rank: {EXPECTED}")))?;
    if elem_type != DataType::Float as i32 {
        let kind = DataType::try_from(elem_type).map_or("unknown".into(), |t| format!("{t:?}").to_lowercase());
        return Err(refuse(format!(
            "input {name} has elements of type {kind}: {EXPECTED}, export it with a float input"
        )));
    }
    let shown = format!("[{}]", dims.iter().map(show).collect::<Vec<_>>().join(", "));
    match dims {
        [batch, a, b, c] => Ok((shown, [batch, a, b, c])),
        _ => Err(refuse(format!("input {name} has rank {}, {shown}: {EXPECTED}", dims.len()))),
    }
}

impl GraphInput {
    /// Undoes what [`fix`] did where the file takes channels last: the graph takes them so again.
    pub(super) fn put_channels_last(&self, graph: &mut GraphProto) {
        let mut names = Names::of(graph);
        let outside = names.fresh(self.name.strip_suffix(PLANES).unwrap_or(&self.name));
        graph.input[0] = value(&outside, &[1, self.height, self.width, self.channels]);
        graph.node.insert(0, transpose(outside, self.name.clone(), &[0, 3, 1, 2]));
    }
}

/// Makes the graph take planes: its input gets another name, and a transposition in front of all else gives the old one.
fn put_channels_first(graph: &mut GraphProto, [channels, height, width]: [usize; 3]) -> String {
    let old = graph.input[0].name.clone();
    let name = Names::of(graph).fresh(&format!("{old}{PLANES}"));
    graph.input[0] = value(&name, &[1, channels, height, width]);
    graph.node.insert(0, transpose(name.clone(), old, &[0, 2, 3, 1]));
    name
}

fn transpose(from: String, to: String, perm: &[i64]) -> NodeProto {
    NodeProto {
        op_type: "Transpose".into(),
        name: format!("{to}.transpose"),
        input: vec![from],
        output: vec![to],
        attribute: vec![ints("perm", perm)],
        ..Default::default()
    }
}

fn tensor_dims(input: &mut ValueInfoProto) -> Option<(i32, &mut [Dimension])> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_mut()?.value.as_mut()?;
    let TensorShapeProto { dim } = tensor.shape.as_mut()?;
    Some((tensor.elem_type, dim.as_mut_slice()))
}

/// An extent that is fixed.
fn number(dim: &Dimension) -> Option<usize> {
    match dim.value {
        Some(Value::DimValue(n)) => usize::try_from(n).ok().filter(|&n| n > 0),
        _ => None,
    }
}

fn set(dim: &mut Dimension, n: usize) {
    dim.value = i64::try_from(n).ok().map(Value::DimValue);
}

fn show(dim: &Dimension) -> String {
    match &dim.value {
        Some(Value::DimValue(n)) => n.to_string(),
        Some(Value::DimParam(name)) => name.clone(),
        None => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(dims: &[i64]) -> GraphProto {
        let mut input = value("x", &vec![1; dims.len()]);
        for (dim, &n) in tensor_dims(&mut input).unwrap().1.iter_mut().zip(dims) {
            dim.value = Some(if n > 0 { Value::DimValue(n) } else { Value::DimParam(format!("d{}", -n)) });
        }
        GraphProto { input: vec![input], ..Default::default() }
    }

    fn fixed(dims: &[i64], asked: Option<[usize; 2]>) -> Result<GraphInput> {
        let mut graph = graph(dims);
        let input = fix(&mut graph, asked, None)?;
        let shape = tensor_dims(&mut graph.input[0]).unwrap().1.iter().map(number).collect::<Option<Vec<_>>>();
        assert_eq!(shape.unwrap(), [1, input.channels, input.height, input.width]);
        assert_eq!((input.name == "x", graph.node.len()), (!input.channels_last, usize::from(input.channels_last)));
        Ok(input)
    }

    #[test]
    fn pictures_of_one_and_three_channels_are_taken_in_both_orders() {
        for channels in [1, 3] {
            let first = fixed(&[-1, channels, 8, 9], None).unwrap();
            assert_eq!((first.channels, first.height, first.width), (channels as usize, 8, 9));
            let last = fixed(&[1, 8, 9, channels], None).unwrap();
            assert_eq!(GraphInput { name: "x".into(), channels_last: false, ..last }, first);
        }
        assert_eq!(fixed(&[1, -1, 8, 8], None).unwrap().channels, 3);
    }

    #[test]
    fn open_sizes_are_those_asked_for() {
        for dims in [[-1, 3, -2, -3], [1, -2, -3, 3]] {
            let input = fixed(&dims, Some([5, 6])).unwrap();
            assert_eq!((input.height, input.width), (5, 6));
            let said = fixed(&dims, None).unwrap_err().to_string();
            assert!(said.contains("--input-size 224x224") && said.contains("model.toml"), "{said}");
        }
        assert_eq!(fix(&mut graph(&[1, 3, -1, -1]), Some([5, 6]), Some([9; 2])).unwrap().width, 6);
        assert_eq!(fix(&mut graph(&[1, 3, -1, -1]), None, Some([9; 2])).unwrap().width, 9);
        assert_eq!(fixed(&[1, 3, 5, 6], Some([5, 6])).unwrap().height, 5);
        let said = fixed(&[1, 3, 5, 6], Some([6, 5])).unwrap_err().to_string();
        assert!(said.contains("6x5 was asked for"), "{said}");
    }

    #[test]
    fn all_else_is_refused() {
        let said = |dims: &[i64]| fixed(dims, None).unwrap_err().to_string();
        assert!(said(&[3, 8, 8]).starts_with("input x has rank 3, [3, 8, 8]"));
        assert!(said(&[2, 3, 8, 8]).contains("export it with a batch of 1"));
        assert!(said(&[1, 4, 8, 8]).contains("has the shape [1, 4, 8, 8]"));
        assert!(said(&[1, 8, 8, 2]).contains("has the shape"));
    }
}
