//! NEON: 16 values at a time.

use core::arch::aarch64::*;

use super::{Call, Source, Target};

/// Values that are worked on together.
const VALUES: usize = 16;

pub(super) fn read(call: Call<'_>) {
    // SAFETY: NEON is part of every 64-bit ARM processor; `Call::check` asserted the lengths, of which whole blocks are read and
    // written.
    unsafe {
        match call.source {
            Source::Unsigned(codes) => to_target(call, codes.as_ptr(), |p| {
                let x = vld1q_u8(p);
                let (low, high) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
                [vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)]
                    .map(|x| vcvtq_f32_u32(x))
            }),
            Source::Signed(codes) => to_target(call, codes.as_ptr(), |p| {
                let x = vld1q_s8(p.cast());
                let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
                [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
                    .map(|x| vcvtq_f32_s32(x))
            }),
            Source::Real(values) => {
                to_target(call, values.as_ptr(), |p| [0, 4, 8, 12].map(|i| vld1q_f32(p.add(i))));
            }
        }
    }
}

/// # Safety
/// Source and target are as long as [`Call::check`] asserts.
#[inline]
unsafe fn to_target<X>(call: Call<'_>, from: *const X, load: impl Fn(*const X) -> [float32x4_t; 4]) {
    let (reading, planes, pixels) = (call.reading, (call.from_plane, call.to_plane), call.pixels);
    // SAFETY: as the caller says.
    unsafe {
        match call.target {
            Target::Codes(codes) => run(reading, planes, pixels, from, codes.as_mut_ptr(), load, |p, values| {
                let [a, b, c, d] = values.map(|value| vmovn_s32(vcvtnq_s32_f32(value)));
                let bytes = vmovn_high_s16(vmovn_s16(vcombine_s16(a, b)), vcombine_s16(c, d));
                vst1q_s8(p.cast(), bytes);
            }),
            Target::Real(values) => run(reading, planes, pixels, from, values.as_mut_ptr(), load, |p, values| {
                for (i, value) in values.into_iter().enumerate() {
                    vst1q_f32(p.add(4 * i), value);
                }
            }),
        }
    }
}

/// # Safety
/// As [`to_target`].
#[inline]
unsafe fn run<X, T>(
    reading: &super::Reading,
    (from_plane, to_plane): (usize, usize),
    (first, to_first, pixels): (usize, usize, usize),
    from: *const X,
    to: *mut T,
    load: impl Fn(*const X) -> [float32x4_t; 4],
    store: impl Fn(*mut T, [float32x4_t; 4]),
) {
    let bounds = &reading.bounds;
    for group in 0..reading.groups {
        let factors = &reading.factors[group * bounds.len()..][..bounds.len()];
        // SAFETY: the groups and pixels are inside source and target, as the caller vouches.
        unsafe {
            let from = from.add(group * from_plane + 4 * first);
            let to = to.add(group * to_plane + 4 * to_first);
            for at in (0..4 * pixels).step_by(VALUES) {
                let mut values = load(from.add(at));
                for (bounds, [mul, add]) in bounds.iter().zip(factors) {
                    let (mul, add) = (vld1q_f32(mul.as_ptr()), vld1q_f32(add.as_ptr()));
                    let (low, high) = (vdupq_n_f32(bounds.low), vdupq_n_f32(bounds.high));
                    for value in &mut values {
                        // `maxnm` gives the number where the other is NaN.
                        *value = vminnmq_f32(vmaxnmq_f32(vfmaq_f32(add, *value, mul), low), high);
                        if bounds.round {
                            *value = vrndnq_f32(*value);
                        }
                    }
                }
                store(to.add(at), values);
            }
        }
    }
}
