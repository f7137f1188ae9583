//! `QuantizeLinear` as one operator. As tract's arithmetic it would be a product with the scale's reciprocal (`tract-core`
//! `ops/math/mod.rs`, `declutter_div`), which falls to the other side of a tie where the file's division does not.

use tract_core::internal::tract_ndarray::{ArrayD, ArrayViewD, Zip};
use tract_core::internal::*;

/// Quantizes f32 values to `u8` or `i8`: divides by the scale, rounds halves to even, adds the zero point, and saturates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quantize {
    /// f32, of the values' rank; extents of 1 are repeated.
    pub(super) scale: Arc<Tensor>,
    /// The same.
    pub(super) zero_point: Arc<Tensor>,
    pub(super) output: DatumType,
    /// Whether the zero point is added before rounding.
    pub(super) zero_point_first: bool,
}

/// The sum of this and a value below 2^22 in magnitude ends in the value's nearest whole number, halves to even, as its last bits.
const ROUNDS: f32 = 12_582_912.0;

impl Quantize {
    /// The quantized value, as a byte. What is bounded before it is rounded is the same, since bounds are whole numbers; NaN becomes the least.
    #[inline(always)]
    fn byte(&self, value: f32, scale: f32, zero: f32, (low, high): (f32, f32)) -> u8 {
        let whole = |bounded: f32| (bounded + ROUNDS).to_bits() as u8;
        let scaled = value / scale;
        match self.zero_point_first {
            true => whole((scaled + zero).max(low).min(high)),
            false => whole(scaled.max(low - zero).min(high - zero)).wrapping_add(zero as i32 as u8),
        }
    }

    /// The quantized values, as bytes.
    fn bytes(&self, input: &Tensor, bounds: (f32, f32)) -> TractResult<ArrayD<u8>> {
        let values = input.to_plain_array_view::<f32>()?;
        let (scale, zero) = (self.scale.to_plain_array_view::<f32>()?, self.zero_point.to_plain_array_view::<f32>()?);
        if let (Some(&[scale]), Some(&[zero]), true) = (scale.as_slice(), zero.as_slice(), values.is_standard_layout())
        {
            return Ok(values.map(|&value| self.byte(value, scale, zero, bounds)));
        }
        let wide = |known: &ArrayViewD<'_, f32>| known.broadcast(values.raw_dim()).is_some();
        ensure!(wide(&scale) && wide(&zero), "its scale or zero point does not fit {:?}", values.shape());
        let each = Zip::from(&values).and_broadcast(&scale).and_broadcast(&zero);
        Ok(each.map_collect(|&value, &scale, &zero| self.byte(value, scale, zero, bounds)))
    }
}

impl Op for Quantize {
    fn name(&self) -> StaticName {
        "QuantizeLinear".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Quantize {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let quantized = if self.output == i8::datum_type() {
            self.bytes(&input, (-128.0, 127.0))?.mapv(|byte| byte as i8).into_tensor()
        } else {
            self.bytes(&input, (0.0, 255.0))?.into_tensor()
        };
        Ok(tvec!(quantized.into_tvalue()))
    }
}

impl TypedOp for Quantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.output.fact(inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ONNX says it, with all there is between and beyond the bounds.
    #[test]
    fn bytes_are_the_operators_values() {
        let values: Vec<f32> = (-2000..2000).map(|i| i as f32 * 0.01).chain([1e30, -1e30, f32::INFINITY]).collect();
        for (scale, zero, signed) in
            [(0.05, 128, false), (0.02, 0, false), (0.04, 255, false), (0.05, -7, true), (0.1, 127, true)]
        {
            for zero_point_first in [false, true] {
                let (low, high) = if signed { (-128.0, 127.0) } else { (0.0, 255.0) };
                let quantize = Quantize {
                    scale: tensor1(&[scale]).into_arc_tensor(),
                    zero_point: tensor1(&[zero as f32]).into_arc_tensor(),
                    output: if signed { i8::datum_type() } else { u8::datum_type() },
                    zero_point_first,
                };
                let right = |value: f32| {
                    let (scaled, zero) = (value / scale, zero as f32);
                    let whole = if zero_point_first {
                        (scaled + zero).round_ties_even()
                    } else {
                        scaled.round_ties_even() + zero
                    };
                    whole.max(low).min(high) as i32 as u8
                };
                let found = quantize.bytes(&tensor1(&values), (low, high)).unwrap();
                assert!(found.iter().zip(&values).all(|(byte, value)| *byte == right(*value)), "{quantize:?}");
                assert_eq!(quantize.byte(f32::NAN, scale, zero as f32, (low, high)), low as i32 as u8);
            }
        }
    }
}
