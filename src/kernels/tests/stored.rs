//! Structures that kernels read through pointers cannot be deserialized with inconsistent lengths.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::*;
use crate::quant::{Affine, Function};

/// Deserializes from fields, in their stored order.
fn read<T: DeserializeOwned>(fields: impl Serialize) -> Option<T> {
    postcard::from_bytes(&postcard::to_allocvec(&fields).unwrap()).ok()
}

fn affine(channels: usize) -> Affine {
    Affine {
        mul: vec![0.25; channels],
        add: vec![1.0; channels],
        low: 0.0,
        high: 255.0,
        function: Function::Identity,
        round: true,
    }
}

#[test]
fn factors_and_summands_are_as_many() {
    let requantize = |mul, add, low: f32, high: f32, clamp| {
        read::<Requantize>((vec![0.25f32; mul], vec![1.0f32; add], low, high, clamp, QuantType::Unsigned))
    };
    assert_eq!(requantize(8, 8, 0.0, 255.0, false), Requantize::new(&affine(8), QuantType::Unsigned).ok());
    for (mul, add) in [(8, 4), (8, 0), (4, 8), (7, 7)] {
        assert_eq!(requantize(mul, add, 0.0, 255.0, false), None, "{mul} and {add}");
    }
    for (low, high, clamp) in [(0.0, 255.0, true), (-1.0, 255.0, true), (9.0, 3.0, true), (f32::NAN, 255.0, true)] {
        assert_eq!(requantize(8, 8, low, high, clamp), None, "{low} to {high}");
    }
    let bias_clamp =
        |mul, add, low: f32, high: f32| read::<BiasClamp>((vec![0.25f32; mul], vec![1.0f32; add], (low, high)));
    assert_eq!(bias_clamp(8, 8, 1.0, 255.0), BiasClamp::new(&Affine { low: 1.0, round: false, ..affine(8) }).ok());
    for (mul, add, low, high) in [(8, 4, 1.0, 2.0), (6, 6, 1.0, 2.0), (8, 8, 2.0, 1.0), (8, 8, f32::NAN, 1.0)] {
        assert_eq!(bias_clamp(mul, add, low, high), None, "{mul} and {add}, {low} to {high}");
    }
}

#[test]
fn readers_have_steps_for_their_planes() {
    let (factor, integers) = ([[0.25f32; 4], [1.0; 4]], ([1i16; 4], [1i16; 4], [1i16; 4]));
    let chain = |factors, bounds, fixed: &[usize]| {
        let fixed: Vec<_> = fixed.iter().map(|&affines| vec![integers; affines]).collect();
        let bounds = vec![(0.0f32, 255.0f32, true); bounds];
        read::<AffineChain>((vec![factor; factors], bounds, fixed, QuantType::Unsigned, QuantType::Activation))
    };
    assert_eq!(chain(4, 2, &[2, 0]).map(|chain| chain.planes()), Some(2));
    for (factors, bounds, fixed) in
        [(4, 0, &[][..]), (5, 2, &[0, 0]), (4, 2, &[0]), (4, 2, &[0, 0, 0]), (4, 2, &[1, 0]), (0, 0, &[])]
    {
        assert!(chain(factors, bounds, fixed).is_none(), "{factors} factors, {bounds} bounds, integers {fixed:?}");
    }
    let real = |factors, affines, planes: usize| {
        let affine = (Function::Identity, (0.0f32, 255.0f32, true));
        read::<AffineChainF32>((vec![factor; factors], vec![affine; affines], planes))
    };
    assert_eq!(real(4, 2, 2).map(|chain| chain.planes()), Some(2));
    assert_eq!(real(0, 0, 3), Some(AffineChainF32::new(12, &[])));
    for (factors, bounds, planes) in [(4, 2, 3), (3, 2, 2), (0, 1, 1), (2, 2, usize::MAX)] {
        assert!(real(factors, bounds, planes).is_none(), "{factors} factors, {bounds} bounds, {planes} planes");
    }
}

#[test]
fn weights_are_as_many_as_offsets_take() {
    let real = |outputs: usize, len: usize, offsets| read::<PackedF32>((outputs, len, vec![0u32; offsets]));
    assert!(real(8, 192, 3).is_some() && real(20, 384, 3).is_some());
    for (outputs, len, offsets) in [(8, 191, 3), (6, 192, 3), (20, 192, 3), (usize::MAX - 3, 192, 3)] {
        assert!(real(outputs, len, offsets).is_none(), "{len} weights, {outputs} outputs, {offsets} offsets");
    }
    let packed = |isa: Isa, outputs: usize, offsets: &[u32], ends: &[u32], chains: &[u8], len: usize| {
        read::<Packed>((isa, outputs, vec![0i32; outputs], offsets, ends, chains, len)).is_some()
    };
    for isa in [Isa::Scalar, Isa::Dotprod, Isa::I8mm, Isa::Avx512Vnni] {
        assert!(packed(isa, 8, &[0, 4], &[], &[], 64));
        assert!(!packed(isa, 8, &[0, 4], &[], &[], 63) && !packed(isa, 8, &[0, 4], &[2], &[], 64));
        assert!(!packed(isa, 8, &[0, 4], &[], &[0], 64) && !packed(isa, 8, &[0, 1 << 31], &[], &[], 64));
        // Some kernels take two steps at a time.
        assert_eq!(packed(isa, 8, &[0, 4, 8], &[], &[], 96), isa != Isa::I8mm);
    }
    assert!(packed(Isa::Avx2, 8, &[0, 4, 8], &[1, 3], &[], 48));
    for (ends, len) in [(&[][..], 48), (&[3], 48), (&[3, 1], 48), (&[1, 2], 48), (&[1, 4], 48), (&[1, 3], 32)] {
        assert!(!packed(Isa::Avx2, 8, &[0, 4, 8], ends, &[], len), "{ends:?}, {len}");
    }
    // Behind four steps come five zeros, and the weights of one more step.
    assert!(packed(Isa::Neon, 4, &[0, 4, 4, 4, 0, 0, 0, 0, 0], &[2, 4], &[1, 0, 1, 0], 40));
    for (offsets, ends, chains, len) in [
        (&[][..], &[2, 4][..], &[1, 0, 1, 0][..], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0], &[2, 4], &[1, 0, 1, 0], 40),
        (&[0, 4, 4, 4, 4, 0, 0, 0, 0], &[2, 4], &[1, 0, 1, 0], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0, 4], &[2, 4], &[1, 0, 1, 0], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0, 0], &[2, 4], &[1, 0, 1], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0, 0], &[2, 4], &[1, 0, 255, 0], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0, 0], &[2], &[1, 0], 40),
        (&[0, 4, 4, 4, 0, 0, 0, 0, 0], &[2, 4], &[1, 0, 1, 0], 32),
        (&[0, u32::MAX, 4, 4, 0, 0, 0, 0, 0], &[2, 4], &[1, 0, 1, 0], 40),
    ] {
        assert!(!packed(Isa::Neon, 4, offsets, ends, chains, len), "{offsets:?} {ends:?} {chains:?} {len}");
    }
}
