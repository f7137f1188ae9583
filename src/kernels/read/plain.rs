//! Plain code: what all others are compared with.

use super::{Call, Source, Target};
use crate::quant::round;

pub(super) fn read(mut call: Call<'_>) {
    for group in 0..call.reading.groups {
        let bounds = &call.reading.bounds;
        let factors = &call.reading.factors[group * bounds.len()..][..bounds.len()];
        let (from, to) = call.starts(group);
        for at in 0..4 * call.pixels.2 {
            let mut value = match call.source {
                Source::Unsigned(codes) => f32::from(codes[from + at]),
                Source::Signed(codes) => f32::from(codes[from + at] as i8),
                Source::Real(values) => values[from + at],
            };
            for (bounds, [mul, add]) in bounds.iter().zip(factors) {
                value = value.mul_add(mul[at % 4], add[at % 4]);
                value = if value > bounds.low { value.min(bounds.high) } else { bounds.low };
                value = if bounds.round { round(value) } else { value };
            }
            match &mut call.target {
                Target::Codes(codes) => codes[to + at] = value as i32 as u8,
                Target::Real(values) => values[to + at] = value,
            }
        }
    }
}
