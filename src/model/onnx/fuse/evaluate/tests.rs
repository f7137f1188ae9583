use tract_onnx::pb::AttributeProto;

use super::super::super::nodes::{int, ints};
use super::*;

fn node(op: &str, inputs: usize, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = (0..inputs).map(|at| format!("x{at}")).collect();
    NodeProto { op_type: op.into(), input, output: vec!["y".into()], attribute, ..Default::default() }
}

fn whole(dims: &[usize], values: &[i64], kind: DataType) -> Constant {
    Constant { dims: dims.to_vec(), values: Values::Whole(values.to_vec()), kind }
}

fn real(dims: &[usize], values: &[f32]) -> Constant {
    Constant { dims: dims.to_vec(), values: Values::F32(values.to_vec()), kind: DataType::Float }
}

fn list(values: &[i64]) -> Constant {
    whole(&[values.len()], values, DataType::Int64)
}

fn given(node: &NodeProto, inputs: &[&Constant]) -> Option<Constant> {
    evaluate(node, &inputs.iter().map(|&input| Some(input)).collect::<Vec<_>>())
}

#[test]
fn whole_numbers_are_divided_as_such_and_only_where_they_cannot_wrap() {
    let divided = given(&node("Div", 2, vec![]), &[&list(&[7, -7, 1 << 40]), &list(&[2])]);
    assert_eq!(divided, Some(list(&[3, -3, 1 << 39])));
    assert_eq!(given(&node("Div", 2, vec![]), &[&list(&[7]), &list(&[0])]), None);
    assert_eq!(given(&node("Mul", 2, vec![]), &[&list(&[i64::MAX]), &list(&[2])]), None);
    let bytes = whole(&[1], &[200], DataType::Uint8);
    assert_eq!(given(&node("Add", 2, vec![]), &[&bytes, &bytes]), None, "u8 wraps");
    assert_eq!(given(&node("Add", 2, vec![]), &[&list(&[1]), &real(&[1], &[1.0])]), None, "types differ");
    assert_eq!(given(&node("Neg", 1, vec![]), &[&list(&[5])]), Some(list(&[-5])));
}

#[test]
fn what_grows_is_computed_as_long_as_it_is_small() {
    let of = |op: &str, inputs: &[&Constant]| given(&node(op, inputs.len(), vec![]), inputs);
    assert_eq!(of("ConstantOfShape", &[&list(&[2, 1])]), Some(real(&[2, 1], &[0.0; 2])));
    assert_eq!(of("ConstantOfShape", &[&list(&[1 << 20])]), None);
    assert_eq!(of("ConstantOfShape", &[&list(&[-1])]), None);
    let row = list(&[5, 6]);
    assert_eq!(of("Expand", &[&row, &list(&[2, 2])]), Some(whole(&[2, 2], &[5, 6, 5, 6], DataType::Int64)));
    assert_eq!(of("Expand", &[&row, &list(&[1, 1])]), Some(whole(&[1, 2], &[5, 6], DataType::Int64)));
    assert_eq!(of("Expand", &[&row, &list(&[1 << 40, 2])]), None);
    assert_eq!(of("CastLike", &[&row, &real(&[1], &[0.5])]), Some(real(&[2], &[5.0, 6.0])));
    assert_eq!(of("Shape", &[&real(&[2, 3], &[0.0; 6])]), Some(list(&[2, 3])));
}

#[test]
fn extents_of_a_scalar_operand_count() {
    let sum = given(&node("Add", 2, vec![]), &[&real(&[1, 1], &[1.0]), &real(&[], &[2.0])]);
    assert_eq!(sum, Some(real(&[1, 1], &[3.0])));
    let sum = given(&node("Add", 2, vec![]), &[&real(&[3], &[1.0; 3]), &real(&[1, 1], &[2.0])]);
    assert_eq!(sum, Some(real(&[1, 3], &[3.0; 3])));
    assert_eq!(given(&node("Add", 2, vec![]), &[&real(&[0], &[]), &real(&[3], &[1.0; 3])]), None);
}

#[test]
fn what_has_no_values_has_no_further_extents() {
    let reshaped = |to: &[i64]| given(&node("Reshape", 2, vec![]), &[&list(&[]), &list(to)]);
    assert_eq!(reshaped(&[0]), Some(list(&[])));
    // Joined along its second axis, the last of these would take 2^40 steps.
    for dims in [&[0, 1 << 40, 1 << 40][..], &[0, 1], &[0, 1 << 40]] {
        assert_eq!(reshaped(dims), None, "{dims:?}");
    }
}

#[test]
fn casts_round_and_cut_as_the_type_does() {
    let cast = |constant: &Constant, to: i64| given(&node("Cast", 1, vec![int("to", to)]), &[constant]);
    let double = Constant { kind: DataType::Double, ..real(&[1], &[0.1]) };
    assert_eq!(cast(&real(&[1], &[0.1]), 11), Some(double.clone()));
    assert_eq!((cast(&double, 1), cast(&double, 7)), (Some(real(&[1], &[0.1])), None));
    assert_eq!(cast(&real(&[2], &[2.9, -2.9]), 7), Some(list(&[2, -2])));
    assert_eq!(cast(&real(&[1], &[300.0]), 2), None);
    assert_eq!(cast(&real(&[1], &[f32::NAN]), 7), None);
    let half = cast(&real(&[1], &[0.1]), 10).unwrap();
    assert_eq!((half.real(), half.kind), (vec![0.099_975_586], DataType::Float16));
    assert_eq!(given(&node("Sqrt", 1, vec![]), &[&half]), None, "another rounding");
}

#[test]
fn weights_in_blocks_have_a_scale_for_each() {
    let attributes = vec![int("axis", 1), int("block_size", 2)];
    let quantized = whole(&[2, 3], &[1, 2, 3, 4, 5, 6], DataType::Int8);
    let scales = real(&[2, 2], &[1.0, 10.0, 0.5, 0.25]);
    let decode = node("DequantizeLinear", 2, attributes);
    let decoded = given(&decode, &[&quantized, &scales]);
    assert_eq!(decoded, Some(real(&[2, 3], &[1.0, 2.0, 30.0, 2.0, 2.5, 1.5])));
    assert_eq!(given(&decode, &[&quantized, &real(&[2, 1], &[1.0, 2.0])]), None);
}

#[test]
fn scales_along_an_axis_and_the_type_asked_for() {
    let quantize = |attributes: Vec<AttributeProto>, scales: &Constant| {
        given(&node("QuantizeLinear", 2, attributes), &[&real(&[2, 2], &[1.0, -1.0, 2.0, -2.0]), scales])
    };
    let scales = real(&[2], &[1.0, 0.5]);
    let by_row = quantize(vec![int("axis", 0), int("output_dtype", 3)], &scales);
    assert_eq!(by_row, Some(whole(&[2, 2], &[1, -1, 4, -4], DataType::Int8)));
    assert_eq!(quantize(vec![], &scales), Some(whole(&[2, 2], &[1, 0, 2, 0], DataType::Uint8)));
    assert_eq!(quantize(vec![int("axis", 2)], &scales), None);
    assert_eq!(quantize(vec![], &real(&[3], &[1.0; 3])), None);
    assert_eq!(quantize(vec![], &real(&[1], &[0.0])), None);
    let of_16_bits = Some(whole(&[2, 2], &[1, 0, 2, 0], DataType::Uint16));
    assert_eq!(quantize(vec![int("output_dtype", 4)], &real(&[1], &[1.0])), of_16_bits);
    assert_eq!(quantize(vec![int("output_dtype", 22)], &real(&[1], &[1.0])), None, "of 4 bits");
}

#[test]
fn shapes_are_what_onnx_says_or_not_known() {
    let to = |target: &[i64], attributes| {
        let node = node("Reshape", 2, attributes);
        reshaped(&node, &[2, 3, 4], Some(&list(target)))
    };
    assert_eq!(to(&[0, -1], vec![]), Some(vec![2, 12]));
    assert_eq!(to(&[0, -1], vec![int("allowzero", 1)]), None);
    assert_eq!(to(&[-1, -1], vec![]), None);
    assert_eq!(to(&[5, -1], vec![]), None);
    assert_eq!(to(&[2, 3, 4, 0], vec![]), None);
    assert_eq!(to(&[1 << 62, 1 << 62], vec![]), None);
    let squeezed = |axes: &[i64]| reshaped(&node("Squeeze", 1, vec![ints("axes", axes)]), &[1, 3, 1, 1], None);
    assert_eq!(squeezed(&[-1, 0]), Some(vec![3, 1]));
    assert_eq!(squeezed(&[1]), None);
    assert_eq!(squeezed(&[2, 2]), None);
    let flat = |axis| reshaped(&node("Flatten", 1, vec![int("axis", axis)]), &[2, 3, 4], None);
    assert_eq!((flat(3), flat(-1), flat(4)), (Some(vec![24, 1]), Some(vec![6, 4]), None));
    let unsqueezed = |axes: &[i64]| reshaped(&node("Unsqueeze", 2, vec![]), &[3], Some(&list(axes)));
    assert_eq!((unsqueezed(&[0, -1]), unsqueezed(&[3])), (Some(vec![1, 3, 1]), None));
}

#[test]
fn axes_are_permuted_as_asked() {
    let turned = |perm: Option<&[i64]>| {
        let attributes = perm.map(|perm| ints("perm", perm)).into_iter().collect();
        given(&node("Transpose", 1, attributes), &[&real(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])])
    };
    assert_eq!(turned(Some(&[0, 2, 1])), Some(real(&[1, 3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])));
    assert_eq!(turned(None), Some(real(&[3, 2, 1], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])));
    assert_eq!(turned(Some(&[0, 1, 2])), Some(real(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])));
    assert_eq!(turned(Some(&[0, 0, 1])), None);
}

#[test]
fn lists_are_picked_from_and_joined_along_their_one_axis() {
    let picked = given(&node("Gather", 2, vec![]), &[&list(&[5, 6, 7]), &whole(&[], &[-1], DataType::Int64)]);
    assert_eq!(picked, Some(whole(&[], &[7], DataType::Int64)));
    assert_eq!(given(&node("Gather", 2, vec![]), &[&list(&[5, 6, 7]), &list(&[3])]), None);
    assert_eq!(given(&node("Gather", 2, vec![int("axis", 1)]), &[&list(&[5, 6, 7]), &list(&[0])]), None);
    let concat = |axis| node("Concat", 2, vec![int("axis", axis)]);
    assert_eq!(given(&concat(0), &[&list(&[1]), &list(&[2, 3])]), Some(list(&[1, 2, 3])));
    assert_eq!(given(&concat(1), &[&list(&[1]), &list(&[2])]), None);
    assert_eq!(given(&concat(0), &[&whole(&[], &[1], DataType::Int64), &list(&[2])]), None);
}

#[test]
fn what_is_not_understood_is_not_known() {
    assert_eq!(given(&node("Sqrt", 1, vec![int("magic", 1)]), &[&real(&[1], &[4.0])]), None);
    let training = node("Dropout", 3, vec![]);
    assert_eq!(given(&training, &[&real(&[1], &[4.0]), &real(&[], &[0.5]), &list(&[1])]), None);
}

#[test]
fn extents_that_an_exporter_asks_about_are_known() {
    // Torch: -1 in the extents to expand to means those that there are.
    let (asked, ones) = (list(&[-1, 18]), list(&[1, 1]));
    let minus = given(&node("Mul", 2, vec![]), &[&ones, &list(&[-1])]).unwrap();
    let same = given(&node("Equal", 2, vec![]), &[&asked, &minus]).unwrap();
    assert_eq!(same, whole(&[2], &[1, 0], DataType::Bool));
    assert_eq!(given(&node("Where", 3, vec![]), &[&same, &ones, &asked]), Some(list(&[1, 18])));
    let rows = whole(&[2, 1], &[1, 0], DataType::Bool);
    let picked = given(&node("Where", 3, vec![]), &[&rows, &real(&[2], &[1.0, 2.0]), &real(&[], &[3.0])]);
    assert_eq!(picked, Some(real(&[2, 2], &[1.0, 2.0, 3.0, 3.0])));
    assert_eq!(given(&node("Where", 3, vec![]), &[&list(&[1]), &ones, &ones]), None, "no condition");
    assert_eq!(given(&node("Where", 3, vec![]), &[&same, &ones, &real(&[2], &[0.0; 2])]), None, "types differ");
}
