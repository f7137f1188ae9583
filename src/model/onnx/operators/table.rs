//! The table. Rows of one operator stand together, by opset.
//!
//! Values are narrower than ONNX allows where tract does something else with them; `docs/tract.md` says where and what.

use tract_onnx::pb::attribute_proto::AttributeType::{Float, Floats, Int, Ints, String, Tensor};

use super::Allowed::{Any, Between, Exactly, Texts};
use super::{Attribute, Definition, rules};

/// Whole numbers that are used in products of extents: no network has larger ones.
const MOST: i64 = 1 << 20;
const FLAG: super::Allowed = Between(0, 1);
const MANY: usize = usize::MAX;

const fn int(name: &'static str, values: super::Allowed) -> Attribute {
    Attribute::new(name, Int, values)
}

const fn ints(name: &'static str, values: super::Allowed) -> Attribute {
    Attribute::new(name, Ints, values)
}

const fn float(name: &'static str) -> Attribute {
    Attribute::new(name, Float, Any)
}

const fn text(name: &'static str, values: &'static [&'static str]) -> Attribute {
    Attribute::new(name, String, Texts(values))
}

const AXIS: Attribute = int("axis", Any);
const EPSILON: Attribute = float("epsilon");
const KEEPDIMS: Attribute = int("keepdims", FLAG);
const AUTO_PAD: Attribute = text("auto_pad", &["NOTSET", "SAME_LOWER", "SAME_UPPER", "VALID"]);
const DILATIONS: Attribute = ints("dilations", Between(1, MOST));
const POOL_DILATIONS: Attribute = DILATIONS.fused(Between(1, 1));
const KERNEL: Attribute = ints("kernel_shape", Between(1, MOST));
const PADS: Attribute = ints("pads", Between(0, MOST));
const STRIDES: Attribute = ints("strides", Between(1, MOST));
const CONVOLUTION: &[Attribute] = &[AUTO_PAD, DILATIONS, int("group", Between(1, MOST)), KERNEL, PADS, STRIDES];
const TRANSPOSED: &[Attribute] = &[
    text("auto_pad", &["NOTSET", "VALID"]),
    DILATIONS,
    int("group", Between(1, MOST)),
    KERNEL,
    ints("output_padding", Between(0, MOST)),
    PADS,
    STRIDES,
];
const CEIL: Attribute = int("ceil_mode", FLAG);
const COUNT_PADS: Attribute = int("count_include_pad", FLAG);
/// For types of 8 bits, which are all that are read, it means nothing.
const SATURATE: Attribute = int("saturate", FLAG);
/// Of constants, decoded when the file is read.
const BLOCKS: Attribute = int("block_size", Between(0, MOST)).fused(Between(0, 0));

const REDUCTION: &[Attribute] = &[ints("axes", Any), KEEPDIMS];
const REDUCTION_BY: &[Attribute] = &[KEEPDIMS, int("noop_with_empty_axes", FLAG).fused(Between(0, 0))];

/// An operator with some inputs and no attributes.
const fn plain(name: &'static str, since: i64, inputs: usize) -> Definition {
    Definition::new(name, since, (inputs, inputs), &[])
}

/// A reduction over the axes of an attribute.
const fn reduction(name: &'static str, until: i64) -> Definition {
    Definition::new(name, 7, (1, 1), REDUCTION).until(until)
}

/// A reduction over the axes of an input.
const fn reduction_by(name: &'static str, since: i64) -> Definition {
    Definition::new(name, since, (1, 2), REDUCTION_BY)
}

pub(super) const TABLE: &[Definition] = &[
    plain("Abs", 7, 1),
    plain("Acos", 7, 1),
    plain("Acosh", 9, 1),
    plain("Add", 7, 2),
    plain("And", 7, 2),
    Definition::new("ArgMax", 7, (1, 1), &[AXIS, KEEPDIMS]).until(11),
    Definition::new("ArgMax", 12, (1, 1), &[AXIS, KEEPDIMS, int("select_last_index", FLAG)]),
    Definition::new("ArgMin", 7, (1, 1), &[AXIS, KEEPDIMS]).until(11),
    Definition::new("ArgMin", 12, (1, 1), &[AXIS, KEEPDIMS, int("select_last_index", FLAG)]),
    plain("Asin", 7, 1),
    plain("Asinh", 9, 1),
    plain("Atan", 7, 1),
    plain("Atanh", 9, 1),
    Definition::new("AveragePool", 7, (1, 1), &[AUTO_PAD, COUNT_PADS, KERNEL.required(), PADS, STRIDES])
        .until(9)
        .rule(rules::pool),
    Definition::new("AveragePool", 10, (1, 1), &[AUTO_PAD, CEIL, COUNT_PADS, KERNEL.required(), PADS, STRIDES])
        .until(18)
        .rule(rules::pool),
    Definition::new(
        "AveragePool",
        19,
        (1, 1),
        &[AUTO_PAD, CEIL, COUNT_PADS, POOL_DILATIONS, KERNEL.required(), PADS, STRIDES],
    )
    .rule(rules::pool),
    Definition::new("BatchNormalization", 7, (5, 5), &[EPSILON, float("momentum"), int("spatial", Between(1, 1))])
        .until(8),
    Definition::new("BatchNormalization", 9, (5, 5), &[EPSILON, float("momentum")]).until(13),
    Definition::new(
        "BatchNormalization",
        14,
        (5, 5),
        &[EPSILON, float("momentum"), int("training_mode", Between(0, 0))],
    ),
    plain("BiasGelu", 1, 2).microsoft(),
    Definition::new("Cast", 7, (1, 1), &[int("to", Any).required()]).until(8),
    Definition::new("Cast", 9, (1, 1), &[int("to", Any).required()]).until(18),
    Definition::new("Cast", 19, (1, 1), &[SATURATE, int("to", Any).required()]),
    plain("CastLike", 15, 2).until(18),
    Definition::new("CastLike", 19, (2, 2), &[SATURATE]),
    plain("Ceil", 7, 1),
    Definition::new("Celu", 12, (1, 1), &[float("alpha")]),
    Definition::new("Clip", 7, (1, 1), &[float("max"), float("min")]).until(10),
    Definition::new("Clip", 11, (1, 3), &[]).gaps(&[1]),
    Definition::new("Concat", 7, (1, MANY), &[AXIS.required()]),
    Definition::new("Constant", 7, (0, 0), &[Attribute::new("value", Tensor, Any)]).until(11).rule(rules::one_value),
    Definition::new(
        "Constant",
        12,
        (0, 0),
        &[
            Attribute::new("value", Tensor, Any),
            float("value_float"),
            Attribute::new("value_floats", Floats, Any),
            int("value_int", Any),
            ints("value_ints", Any),
        ],
    )
    .rule(rules::one_value),
    Definition::new("ConstantOfShape", 9, (1, 1), &[Attribute::new("value", Tensor, Any)]),
    Definition::new("Conv", 7, (2, 3), CONVOLUTION).rule(rules::window),
    Definition::new("ConvTranspose", 7, (2, 3), TRANSPOSED).rule(rules::window),
    plain("Cos", 7, 1),
    plain("Cosh", 9, 1),
    Definition::new("CumSum", 11, (2, 2), &[int("exclusive", FLAG), int("reverse", FLAG)]),
    Definition::new("DepthToSpace", 7, (1, 1), &[int("blocksize", Between(1, MOST)).required()]).until(10),
    Definition::new(
        "DepthToSpace",
        11,
        (1, 1),
        &[int("blocksize", Between(1, MOST)).required(), text("mode", &["CRD", "DCR"])],
    ),
    Definition::new("DequantizeLinear", 10, (2, 3), &[]).until(12),
    Definition::new("DequantizeLinear", 13, (2, 3), &[AXIS]).until(20),
    Definition::new("DequantizeLinear", 21, (2, 3), &[AXIS, BLOCKS]).until(22),
    Definition::new("DequantizeLinear", 23, (2, 3), &[AXIS, BLOCKS, int("output_dtype", Between(0, 1))]),
    Definition::new("DequantizeLinear", 1, (2, 3), &[AXIS]).microsoft(),
    plain("Div", 7, 2),
    Definition::new("Dropout", 7, (1, 1), &[float("ratio")]).outputs(1, 2).until(11),
    Definition::new("Dropout", 12, (1, 3), &[int("seed", Any)]).gaps(&[1]).outputs(1, 2),
    plain("DynamicQuantizeLinear", 11, 1).outputs(3, 3),
    Definition::new("Einsum", 12, (1, MANY), &[Attribute::new("equation", String, Any).required()]),
    Definition::new("Elu", 7, (1, 1), &[float("alpha")]),
    plain("Equal", 7, 2),
    plain("Erf", 9, 1),
    plain("Exp", 7, 1),
    plain("Expand", 8, 2),
    Definition::new("FastGelu", 1, (1, 2), &[]).microsoft(),
    Definition::new("Flatten", 7, (1, 1), &[AXIS]),
    plain("Floor", 7, 1),
    Definition::new("Gather", 7, (2, 2), &[AXIS]),
    // Of masked assignments, which become a `Where` when the file is read.
    plain("GatherND", 11, 2).until(11),
    Definition::new("GatherND", 12, (2, 2), &[int("batch_dims", Between(0, 0))]),
    Definition::new("Gelu", 20, (1, 1), &[text("approximate", &["none", "tanh"])]),
    plain("Gelu", 1, 1).microsoft(),
    Definition::new("Gemm", 7, (3, 3), GEMM).until(10),
    Definition::new("Gemm", 11, (2, 3), GEMM),
    plain("GlobalAveragePool", 7, 1),
    Definition::new("GlobalLpPool", 7, (1, 1), &[int("p", Between(1, 2))]),
    plain("GlobalMaxPool", 7, 1),
    plain("Greater", 7, 2),
    plain("GreaterOrEqual", 12, 2),
    Definition::new(
        "GroupNormalization",
        21,
        (3, 3),
        &[EPSILON, int("num_groups", Between(1, MOST)).required(), int("stash_type", Between(1, 1))],
    ),
    Definition::new("HardSigmoid", 7, (1, 1), &[float("alpha"), float("beta")]),
    plain("HardSwish", 14, 1),
    Definition::new("Hardmax", 7, (1, 1), &[AXIS]),
    plain("Identity", 7, 1),
    Definition::new("InstanceNormalization", 7, (3, 3), &[EPSILON]),
    Definition::new("IsInf", 10, (1, 1), &[int("detect_negative", FLAG), int("detect_positive", FLAG)]),
    plain("IsNaN", 9, 1),
    Definition::new(
        "LRN",
        7,
        (1, 1),
        &[float("alpha"), float("beta"), float("bias"), int("size", Between(1, MOST)).required()],
    ),
    Definition::new("LayerNormalization", 17, (2, 3), &[AXIS, EPSILON, int("stash_type", Between(1, 1))]).outputs(1, 3),
    Definition::new("LeakyRelu", 7, (1, 1), &[float("alpha")]),
    plain("Less", 7, 2),
    plain("LessOrEqual", 12, 2),
    plain("Log", 7, 1),
    Definition::new("LogSoftmax", 7, (1, 1), &[AXIS]),
    Definition::new("LpNormalization", 7, (1, 1), &[AXIS, int("p", Between(1, 2))]),
    plain("MatMul", 7, 2),
    Definition::new("Max", 7, (1, MANY), &[]),
    Definition::new("MaxPool", 7, (1, 1), &[AUTO_PAD, KERNEL.required(), PADS, STRIDES]).until(7).rule(rules::pool),
    Definition::new("MaxPool", 8, (1, 1), &[AUTO_PAD, KERNEL.required(), PADS, int("storage_order", FLAG), STRIDES])
        .outputs(1, 2)
        .until(9)
        .rule(rules::pool),
    Definition::new(
        "MaxPool",
        10,
        (1, 1),
        &[AUTO_PAD, CEIL, POOL_DILATIONS, KERNEL.required(), PADS, int("storage_order", FLAG), STRIDES],
    )
    .outputs(1, 2)
    .rule(rules::pool),
    Definition::new("Mean", 7, (1, MANY), &[]),
    Definition::new("MeanVarianceNormalization", 9, (1, 1), &[ints("axes", Any)]),
    Definition::new("Min", 7, (1, MANY), &[]),
    plain("Mish", 18, 1),
    Definition::new("Mod", 10, (2, 2), &[int("fmod", FLAG)]),
    plain("Mul", 7, 2),
    plain("Neg", 7, 1),
    plain("NonZero", 9, 1),
    plain("Not", 7, 1),
    plain("Or", 7, 2),
    plain("PRelu", 7, 2),
    Definition::new("Pad", 7, (1, 1), &[text("mode", &["constant", "edge"]), PADS.required(), float("value")])
        .until(10),
    Definition::new("Pad", 11, (2, 3), &[PAD_MODE]).until(17),
    Definition::new("Pad", 18, (2, 4), &[PAD_MODE]).gaps(&[2]),
    plain("Pow", 7, 2),
    Definition::new("QGemm", 1, (6, 9), &[float("alpha"), int("transA", FLAG), int("transB", FLAG)])
        .microsoft()
        .gaps(&[6, 7]),
    Definition::new("QLinearAdd", 1, (7, 8), &[]).microsoft().gaps(&[2, 5]),
    Definition::new(
        "QLinearAveragePool",
        1,
        (4, 5),
        &[AUTO_PAD, CEIL, int("channels_last", Between(0, 0)), COUNT_PADS, KERNEL.required(), PADS, STRIDES],
    )
    .microsoft()
    .gaps(&[2])
    .rule(rules::quantized_pool),
    Definition::new("QLinearConcat", 1, (5, MANY), &[AXIS.required()]).microsoft(),
    Definition::new("QLinearConv", 10, (8, 9), CONVOLUTION).rule(rules::window),
    Definition::new("QLinearGlobalAveragePool", 1, (5, 5), &[int("channels_last", Between(0, 0))]).microsoft(),
    Definition::new("QLinearLeakyRelu", 1, (4, 5), &[float("alpha")]).microsoft().gaps(&[2]),
    plain("QLinearMatMul", 10, 8),
    Definition::new("QLinearMul", 1, (7, 8), &[]).microsoft().gaps(&[2, 5]),
    Definition::new("QLinearSigmoid", 1, (4, 5), &[]).microsoft().gaps(&[2]),
    Definition::new("QLinearSoftmax", 1, (5, 5), &[AXIS, int("opset", Between(1, super::NEWEST)).required()])
        .microsoft()
        .gaps(&[2])
        .rule(rules::softmax_opset),
    Definition::new("QuantizeLinear", 10, (2, 3), &[]).until(12),
    Definition::new("QuantizeLinear", 13, (2, 3), &[AXIS]).until(18),
    Definition::new("QuantizeLinear", 19, (2, 3), &[AXIS, SATURATE]).until(20),
    Definition::new("QuantizeLinear", 21, (2, 3), &[AXIS, BLOCKS, int("output_dtype", OUTPUT), SATURATE]).until(22),
    Definition::new(
        "QuantizeLinear",
        23,
        (2, 3),
        &[AXIS, BLOCKS, int("output_dtype", OUTPUT), int("precision", Between(0, 1)), SATURATE],
    ),
    Definition::new("QuantizeLinear", 1, (2, 3), &[AXIS]).microsoft(),
    Definition::new("QuickGelu", 1, (1, 1), &[float("alpha")]).microsoft(),
    Definition::new("RMSNormalization", 23, (2, 2), &[AXIS, EPSILON, int("stash_type", Between(1, 1))]),
    plain("Reciprocal", 7, 1),
    reduction("ReduceL1", 17),
    reduction_by("ReduceL1", 18),
    reduction("ReduceL2", 17),
    reduction_by("ReduceL2", 18),
    reduction("ReduceLogSum", 17),
    reduction_by("ReduceLogSum", 18),
    reduction("ReduceLogSumExp", 17),
    reduction_by("ReduceLogSumExp", 18),
    reduction("ReduceMax", 17),
    reduction_by("ReduceMax", 18),
    reduction("ReduceMean", 17),
    reduction_by("ReduceMean", 18),
    reduction("ReduceMin", 17),
    reduction_by("ReduceMin", 18),
    reduction("ReduceProd", 17),
    reduction_by("ReduceProd", 18),
    reduction("ReduceSum", 12),
    reduction_by("ReduceSum", 13),
    reduction("ReduceSumSquare", 17),
    reduction_by("ReduceSumSquare", 18),
    plain("Relu", 7, 1),
    plain("Reshape", 7, 2).until(13),
    Definition::new("Reshape", 14, (2, 2), &[int("allowzero", FLAG)]),
    Definition::new("Resize", 10, (2, 2), &[text("mode", &["linear", "nearest"])]).until(10),
    Definition::new("Resize", 11, (3, 4), RESIZE).until(12).gaps(&[1, 2]).rule(rules::resize),
    Definition::new("Resize", 13, (3, 4), RESIZE).until(17).gaps(&[1, 2]).rule(rules::resize),
    Definition::new("Resize", 18, (3, 4), RESIZE_18).gaps(&[1, 2]).rule(rules::resize),
    plain("Round", 11, 1),
    plain("ScatterND", 11, 3).until(15),
    Definition::new("ScatterND", 16, (3, 3), &[text("reduction", &["none"])]),
    Definition::new("Selu", 7, (1, 1), &[float("alpha"), float("gamma")]),
    plain("Shape", 7, 1).until(14),
    Definition::new("Shape", 15, (1, 1), &[int("end", Any), int("start", Any)]),
    Definition::new("Shrink", 9, (1, 1), &[float("bias"), float("lambd")]),
    plain("Sigmoid", 7, 1),
    plain("Sign", 9, 1),
    plain("Sin", 7, 1),
    plain("Sinh", 9, 1),
    plain("Size", 7, 1),
    Definition::new(
        "Slice",
        7,
        (1, 1),
        &[ints("axes", Between(0, 63)), ints("ends", Any).required(), ints("starts", Any).required()],
    )
    .until(9)
    .rule(rules::slice),
    Definition::new("Slice", 10, (3, 5), &[]).gaps(&[3]),
    Definition::new("Softmax", 7, (1, 1), &[AXIS]),
    plain("Softplus", 7, 1),
    plain("Softsign", 7, 1),
    Definition::new("SpaceToDepth", 7, (1, 1), &[int("blocksize", Between(1, MOST)).required()]),
    Definition::new("Split", 7, (1, 1), &[AXIS, ints("split", Between(0, i64::MAX))]).outputs(1, MANY).until(12),
    Definition::new("Split", 13, (1, 2), &[AXIS]).outputs(1, MANY).until(17),
    Definition::new("Split", 18, (1, 2), &[AXIS, int("num_outputs", Between(1, MOST))])
        .outputs(1, MANY)
        .rule(rules::split),
    plain("Sqrt", 7, 1),
    Definition::new("Squeeze", 7, (1, 1), &[ints("axes", Any)]).until(12),
    Definition::new("Squeeze", 13, (1, 2), &[]),
    plain("Sub", 7, 2),
    Definition::new("Sum", 7, (1, MANY), &[]),
    plain("Tan", 7, 1),
    plain("Tanh", 7, 1),
    Definition::new("ThresholdedRelu", 10, (1, 1), &[float("alpha")]),
    plain("Tile", 7, 2),
    Definition::new("TopK", 10, (2, 2), &[AXIS]).outputs(1, 2).until(10),
    Definition::new("TopK", 11, (2, 2), &[AXIS, int("largest", FLAG), int("sorted", Between(1, 1))]).outputs(1, 2),
    Definition::new("Transpose", 7, (1, 1), &[ints("perm", Between(0, 63))]),
    Definition::new("Trilu", 14, (1, 2), &[int("upper", FLAG)]),
    Definition::new("Unsqueeze", 7, (1, 1), &[ints("axes", Any).required()]).until(12),
    plain("Unsqueeze", 13, 2),
    plain("Where", 9, 3),
    plain("Xor", 7, 2),
];

const GEMM: &[Attribute] = &[
    float("alpha").fused(Exactly(1.0)),
    float("beta").fused(Exactly(1.0)),
    int("transA", FLAG).fused(Between(0, 0)),
    int("transB", FLAG),
];
/// Types by their numbers: u8, s8, u16 and s16, or 0, that of the zero point.
const OUTPUT: super::Allowed = Between(0, 5);
const PAD_MODE: Attribute = text("mode", &["constant", "edge", "reflect"]);
const NEAREST: Attribute = text("nearest_mode", &["ceil", "floor", "round_prefer_ceil", "round_prefer_floor"]);
const RESIZE: &[Attribute] = &[
    text("coordinate_transformation_mode", &["align_corners", "asymmetric", "half_pixel", "pytorch_half_pixel"]),
    float("cubic_coeff_a"),
    int("exclude_outside", FLAG),
    float("extrapolation_value"),
    text("mode", &["cubic", "linear", "nearest"]),
    NEAREST,
];
const RESIZE_18: &[Attribute] = &[
    int("antialias", FLAG),
    ints("axes", Any),
    text("coordinate_transformation_mode", &["align_corners", "asymmetric", "half_pixel", "pytorch_half_pixel"]),
    float("cubic_coeff_a"),
    int("exclude_outside", FLAG),
    float("extrapolation_value"),
    text("keep_aspect_ratio_policy", &["not_larger", "not_smaller", "stretch"]),
    text("mode", &["cubic", "linear", "nearest"]),
    NEAREST,
];
