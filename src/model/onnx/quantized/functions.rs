//! Functions, normalizations, mirrored borders and picked channels, which ONNX has as operators of their own.

use tract_onnx::pb::tensor_proto::DataType;

use super::super::nodes::{float, int, ints, text};
use super::{Writer, integers};
use crate::quant::Function;

impl Writer<'_> {
    /// A tensor with its image mirrored at its ends: top, left, bottom, right.
    pub(super) fn mirrored(&mut self, name: &str, x: &str, [top, left, bottom, right]: [usize; 4]) -> String {
        let values = [0, 0, top, left, 0, 0, bottom, right].map(|n| n as i64);
        let raw_data = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        let pads = self.store(&format!("{name}.pads"), integers("", &[8], DataType::Int64, raw_data));
        self.add("Pad", &format!("{name}.mirrored"), &[x, &pads], vec![text("mode", "reflect")])
    }

    /// Some channels of a tensor, in this order.
    pub(super) fn selected(&mut self, name: &str, x: &str, channels: &[usize]) -> String {
        let values = channels.iter().flat_map(|&channel| (channel as i64).to_le_bytes()).collect();
        let list = integers("", &[channels.len()], DataType::Int64, values);
        let list = self.store(&format!("{name}.channels"), list);
        self.add("Gather", &format!("{name}.picked"), &[x, &list], vec![int("axis", 1)])
    }

    /// A tensor whose pixels are normalized over their channels, which `LayerNormalization` takes last.
    pub(super) fn normalized(&mut self, name: &str, x: &str, channels: usize, epsilon: f32) -> String {
        let last = self.add("Transpose", &format!("{name}.last"), &[x], vec![ints("perm", &[0, 2, 3, 1])]);
        let ones = self.list(&format!("{name}.ones"), vec![1.0; channels]);
        let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
        let normalized = self.add_layer("LayerNormalization", name, &[&last, &ones], attributes);
        self.add("Transpose", &format!("{name}.first"), &[&normalized], vec![ints("perm", &[0, 3, 1, 2])])
    }

    /// A tensor after a function, in operators of opset 13.
    pub(super) fn function(&mut self, name: &str, x: String, function: &Function) -> String {
        let node = |part: &str| format!("{name}.{part}");
        match function {
            Function::Identity => x,
            Function::Sigmoid => self.add("Sigmoid", &node("sigmoid"), &[&x], vec![]),
            Function::Silu => {
                let gate = self.add("Sigmoid", &node("sigmoid"), &[&x], vec![]);
                self.add("Mul", &node("silu"), &[&x, &gate], vec![])
            }
            Function::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", *alpha), float("beta", *beta)];
                self.add("HardSigmoid", &node("gate"), &[&x], attributes)
            }
            Function::HardSwish { alpha, beta } => {
                let attributes = vec![float("alpha", *alpha), float("beta", *beta)];
                let gate = self.add("HardSigmoid", &node("gate"), &[&x], attributes);
                self.add("Mul", &node("swish"), &[&x, &gate], vec![])
            }
            Function::LeakyRelu(alpha) => self.add("LeakyRelu", &node("leaky"), &[&x], vec![float("alpha", *alpha)]),
            Function::Elu(alpha) => self.add("Elu", &node("elu"), &[&x], vec![float("alpha", *alpha)]),
            Function::Tanh => self.add("Tanh", &node("tanh"), &[&x], vec![]),
            Function::Erf => self.add("Erf", &node("erf"), &[&x], vec![]),
            Function::Gelu => {
                let root = self.number(&node("root"), std::f32::consts::FRAC_1_SQRT_2);
                let (one, half) = (self.number(&node("one"), 1.0), self.number(&node("half"), 0.5));
                let scaled = self.add("Mul", &node("scaled"), &[&x, &root], vec![]);
                let erf = self.add("Erf", &node("erf"), &[&scaled], vec![]);
                let gate = self.add("Add", &node("gate"), &[&erf, &one], vec![]);
                let double = self.add("Mul", &node("double"), &[&x, &gate], vec![]);
                self.add("Mul", &node("gelu"), &[&double, &half], vec![])
            }
            Function::F16 => {
                let narrow = self.add("Cast", &node("f16"), &[&x], vec![int("to", DataType::Float16 as i64)]);
                self.add("Cast", &node("back"), &[&narrow], vec![int("to", DataType::Float as i64)])
            }
            Function::Table(_) => unreachable!("a network that is to be quantized has no quantized values"),
        }
    }
}
