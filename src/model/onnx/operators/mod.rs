//! Which operators of an ONNX file are understood, and what of each: attributes, inputs, opsets.
//!
//! A file is refused where it asks for more than is listed here, so that nothing in it is ignored: what is listed is done, by the
//! fuser, or by tract, which ignores many an attribute that it does not know. What tract does of an operator was compared with
//! ONNX Runtime (`tests/peers/operators.py`).

mod check;
mod rules;
mod structure;
mod table;
#[cfg(test)]
mod tests;

pub(super) use check::{Opsets, check, name, understood};
pub(super) use rules::pads_without_ceil;
pub(super) use structure::{Names, distinguish, sort, tidy};

use tract_onnx::pb::{NodeProto, attribute_proto::AttributeType};

/// The first opset whose operators are listed; opset 6, in which binary operators broadcast by attributes, is rewritten as this one.
const OLDEST: i64 = 7;
/// The last opset whose operators were compared with ONNX Runtime.
const NEWEST: i64 = 27;
/// Domain of the operators that ONNX Runtime contributes.
const MICROSOFT: &str = "com.microsoft";

/// An operator as some opsets define it.
#[derive(Debug)]
struct Definition {
    name: &'static str,
    /// `""` for ONNX's own.
    domain: &'static str,
    /// First and last opset.
    opsets: (i64, i64),
    /// Least and greatest number of inputs.
    inputs: (usize, usize),
    /// Places of inputs that may be left out by an empty name, with others behind them.
    gaps: &'static [usize],
    /// Least and greatest number of outputs.
    outputs: (usize, usize),
    attributes: &'static [Attribute],
    /// What else must hold, and the sentence's end if it does not: `attribute x is …`.
    rule: Option<Rule>,
}

/// Looks at a node of an opset; the sentence's end where it does not hold.
type Rule = fn(&NodeProto, i64) -> Result<(), String>;

/// An attribute that is understood.
#[derive(Debug, Clone, Copy)]
struct Attribute {
    name: &'static str,
    kind: AttributeType,
    required: bool,
    /// Values that are done.
    values: Allowed,
    /// Values that the fuser and the evaluation of constants understand; nodes with others are left to tract.
    fused: Allowed,
}

/// Values of an attribute; of a list, of each of its members.
#[derive(Debug, Clone, Copy)]
enum Allowed {
    /// Any, but floats are finite.
    Any,
    /// Whole numbers from one to another.
    Between(i64, i64),
    /// A float.
    Exactly(f32),
    /// One of some texts.
    Texts(&'static [&'static str]),
}

impl Definition {
    const fn new(name: &'static str, since: i64, inputs: (usize, usize), attributes: &'static [Attribute]) -> Self {
        let opsets = (since, NEWEST);
        Self { name, domain: "", opsets, inputs, gaps: &[], outputs: (1, 1), attributes, rule: None }
    }

    const fn until(mut self, opset: i64) -> Self {
        self.opsets.1 = opset;
        self
    }

    const fn microsoft(mut self) -> Self {
        self.domain = MICROSOFT;
        self.opsets = (1, 1);
        self
    }

    const fn gaps(mut self, gaps: &'static [usize]) -> Self {
        self.gaps = gaps;
        self
    }

    const fn outputs(mut self, least: usize, greatest: usize) -> Self {
        self.outputs = (least, greatest);
        self
    }

    const fn rule(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }
}

impl Attribute {
    const fn new(name: &'static str, kind: AttributeType, values: Allowed) -> Self {
        Self { name, kind, required: false, values, fused: values }
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn fused(mut self, values: Allowed) -> Self {
        self.fused = values;
        self
    }
}
