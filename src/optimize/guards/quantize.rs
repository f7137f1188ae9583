//! `QuantizeLinear` as one operator. As tract's arithmetic it would be a product with the scale's reciprocal (`tract-core`
//! `ops/math/mod.rs`, `declutter_div`), which falls to the other side of a tie where the file's division does not.

use tract_core::internal::tract_ndarray::{ArrayViewD, Zip};
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

impl Quantize {
    /// The quantized values; `wrap` makes one of a whole number between `low` and `high`.
    fn values<T: Datum + Copy>(
        &self,
        input: &Tensor,
        (low, high): (f32, f32),
        wrap: impl Fn(f32) -> T,
    ) -> TractResult<Tensor> {
        let values = input.to_plain_array_view::<f32>()?;
        let (scale, zero) = (self.scale.to_plain_array_view::<f32>()?, self.zero_point.to_plain_array_view::<f32>()?);
        let wide = |known: &ArrayViewD<'_, f32>| known.broadcast(values.raw_dim()).is_some();
        ensure!(wide(&scale) && wide(&zero), "its scale or zero point does not fit {:?}", values.shape());
        // NaN becomes the least value, as `max` leaves it out.
        let quantize = |value: &f32, scale: &f32, zero: &f32| {
            let scaled = value / scale;
            let rounded = match self.zero_point_first {
                true => (scaled + zero).round_ties_even(),
                false => scaled.round_ties_even() + zero,
            };
            wrap(rounded.max(low).min(high))
        };
        let quantized = Zip::from(&values).and_broadcast(&scale).and_broadcast(&zero).map_collect(quantize);
        Ok(quantized.into_tensor())
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
            self.values(&input, (-128.0, 127.0), |value| value as i8)?
        } else {
            self.values(&input, (0.0, 255.0), |value| value as u8)?
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
