use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Push {
    Affine(f64, f64),
    Relu,
    Bound(f64, f64),
    Quantize(f64, f64),
    Dequantize(f64, f64),
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        (-2.0f64..2.0, -3.0f64..3.0).prop_map(|(m, a)| Push::Affine(m, a)),
        Just(Push::Relu),
        (-2.0f64..1.0, 1.0f64..4.0).prop_map(|(low, high)| Push::Bound(low, high)),
        (0.01f64..0.5, 0i32..256).prop_map(|(s, z)| Push::Quantize(s, f64::from(z))),
        (0.01f64..0.5, 0i32..256).prop_map(|(s, z)| Push::Dequantize(s, f64::from(z))),
    ]
}

proptest! {
    /// Merged or one by one: the same results, up to one quantized value near ties.
    #[test]
    fn putting_together_changes_nothing(pushes in prop::collection::vec(push(), 1..6), value in -5.0f64..5.0) {
        let mut chain = Chain::new(1);
        let mut expected = value;
        let mut close_to_tie = false;
        for push in pushes {
            match push {
                Push::Affine(m, a) => { chain.affine(&[m], &[a]); expected = expected * m + a; }
                Push::Relu => { chain.bound(0.0, f64::INFINITY); expected = expected.max(0.0); }
                Push::Bound(low, high) => { chain.bound(low, high); expected = expected.clamp(low, high); }
                Push::Quantize(s, z) => {
                    chain.quantize(&[s], &[z], 0.0, 255.0);
                    let exact = expected / s + z;
                    close_to_tie |= ((exact - exact.floor()) - 0.5).abs() < 1e-3;
                    expected = exact.round_ties_even().clamp(0.0, 255.0);
                }
                Push::Dequantize(s, z) => { chain.dequantize(&[s], &[z]); expected = (expected - z) * s; }
            }
        }
        prop_assume!(!close_to_tie);
        let whole = |bound: f32| bound.is_infinite() || bound.fract() == 0.0;
        prop_assert!(chain.affines(0).iter().all(|affine| !affine.round || whole(affine.low) && whole(affine.high)), "{chain:?}");
        let found = chain.affines(0).iter().fold(value as f32, |value, affine| affine.apply(0, value));
        let scale = expected.abs().max(1.0);
        prop_assert!((f64::from(found) - expected).abs() < 1e-2 * scale, "{found} for {expected}: {chain:?}");
    }
}

#[test]
fn a_layer_is_one_step() {
    // Accumulator, scale and bias, ReLU, quantizer.
    let mut chain = Chain::new(2);
    chain.affine(&[0.25, 0.5], &[1.0, -1.0]);
    chain.bound(0.0, f64::INFINITY);
    chain.quantize(&[0.1; 2], &[0.0; 2], 0.0, 255.0);
    chain.dequantize(&[0.1; 2], &[0.0; 2]);
    let (qvalues, encoding) = chain.qvalues().unwrap();
    assert_eq!((qvalues.len(), encoding), (1, Encoding { scale: 0.1, zero_point: 0, low: 0, high: 255 }));
    assert_eq!(qvalues.affines(0)[0].apply(1, 10.0), 40.0);
}

#[test]
fn a_relu_between_quantizers_of_one_scale_is_a_bound() {
    let mut chain = Chain::new(1);
    chain.quantize(&[0.1], &[0.0], -128.0, 127.0);
    chain.dequantize(&[0.1], &[0.0]);
    chain.bound(0.0, f64::INFINITY);
    chain.quantize(&[0.1], &[0.0], -128.0, 127.0);
    let affine = &chain.affines(0)[..];
    assert_eq!((affine.len(), affine[0].low, affine[0].high), (1, 0.0, 127.0));
}

/// The least quantized value is that of the bound, not a number between two: what reads it may move all by the zero point.
#[test]
fn a_bound_between_quantized_values_becomes_one() {
    let mut chain = Chain::new(1);
    chain.quantize(&[1.0], &[1.0], 0.0, 255.0);
    chain.dequantize(&[1.0], &[0.0]);
    chain.bound(-0.5, f64::INFINITY);
    chain.quantize(&[0.75], &[1.0], 0.0, 255.0);
    chain.dequantize(&[0.75], &[1.0]);
    let (qvalues, encoding) = chain.qvalues().unwrap();
    assert_eq!((encoding.low, encoding.high), (0, 255));
    assert_eq!(qvalues.affines(0).pop().unwrap().low, 0.0);
}

#[test]
fn another_grid_stays_a_step_of_its_own() {
    let mut chain = Chain::new(1);
    chain.quantize(&[0.1], &[0.0], 0.0, 255.0);
    chain.dequantize(&[0.1], &[0.0]);
    chain.quantize(&[0.3], &[9.0], 0.0, 255.0);
    assert_eq!(chain.len(), 2);
    assert!(chain.qvalues().is_none(), "quantized values, not decoded ones");
}

/// Quantized values that leave as f32 equal ONNX's bit for bit, and 0 is exactly 0.
#[test]
fn what_is_only_decoded_is_exact() {
    let (scale, zero_point) = ([0.231, 0.007], [142.0, 3.0]);
    let scale = scale.map(|scale: f64| f64::from(scale as f32));
    let decoders: [fn(&mut Chain); 4] = [
        |_| {},
        |chain| chain.bound(0.0, f64::INFINITY),
        |chain| chain.affine(&[-0.5; 2], &[0.0; 2]),
        |chain| chain.quantize(&[1.0; 2], &[0.0; 2], 0.0, 255.0),
    ];
    for (number, decoder) in decoders.into_iter().enumerate() {
        // Rounded by the chain, or whole numbers in its input.
        for quantized in [true, false] {
            let mut chain = Chain::new(2);
            if quantized {
                chain.quantize(&[1.0; 2], &[0.0; 2], 0.0, 255.0);
            }
            let written = chain.len();
            chain.dequantize(&scale, &zero_point);
            decoder(&mut chain);
            let affines = chain.affines(written);
            // Values that are rounded again stay one affine.
            assert_eq!(affines.len(), if number == 3 { 1 } else { 2 });
            for (channel, value) in (0..2).flat_map(|channel| (0..=255).map(move |value| (channel, value as f32))) {
                let exact = (value - zero_point[channel] as f32) * scale[channel] as f32;
                let expected = [exact, exact.max(0.0), -0.5 * exact][number.min(2)];
                let found = affines.iter().fold(value, |value, affine| affine.apply(channel, value));
                assert!(number == 3 || found == expected, "{found}, not {expected}");
            }
        }
    }
}

/// A norm over f32 values stays one affine, whatever its mean.
#[test]
fn only_whole_numbers_have_zero_points() {
    let mut chain = Chain::new(1);
    chain.affine(&[0.3], &[-0.3 * 7.0]);
    assert_eq!(chain.affines(0).len(), 1);
}

/// `DequantizeLinear` and `QuantizeLinear`, each rounded to f32.
fn requantized(value: f32, (scale, zero_point): (f32, f32), (to, to_zero): (f32, f32), low: f32) -> f32 {
    let real = ((value - zero_point) * scale).max(low);
    ((real / to).round_ties_even() + to_zero).clamp(0.0, 255.0)
}

/// Ties go to even before the zero point is added: where they are frequent, this takes more than one affine.
#[test]
fn ties_are_those_of_onnx() {
    let scale = 0.008_522_35_f32;
    let tenths = (scale, 0.009_469_277_f32);
    for (scales, many) in [((1.0, 2.0), true), ((0.25, 0.0625), false), (tenths, true), ((0.3, 1.7), false)] {
        for (zero_point, to_zero, relu) in
            [(250.0, 77.0, false), (7.0, 4.0, false), (181.0, 255.0, true), (3.0, 31.0, true)]
        {
            let mut chain = Chain::new(2);
            chain.quantize(&[1.0; 2], &[0.0; 2], 0.0, 255.0);
            let written = chain.len();
            chain.dequantize(&[f64::from(scales.0); 2], &[f64::from(zero_point); 2]);
            if relu {
                chain.bound(0.0, f64::INFINITY);
            }
            chain.quantize(&[f64::from(scales.1); 2], &[f64::from(to_zero); 2], 0.0, 255.0);
            let affines = chain.affines(written);
            assert!(many || affines.len() == 1, "{} affines for {scales:?}", affines.len());
            let low = if relu { 0.0 } else { f32::NEG_INFINITY };
            let wrong = (0..=255).filter(|&value| {
                let found = affines.iter().fold(value as f32, |value, affine| affine.apply(1, value));
                found != requantized(value as f32, (scales.0, zero_point), (scales.1, to_zero), low)
            });
            let wrong: Vec<i32> = wrong.collect();
            assert!(wrong.len() <= 2, "{scales:?} {zero_point} {to_zero} {relu}: {wrong:?}");
        }
    }
}

/// Operators that add their zero point first round the sum.
#[test]
fn zero_points_may_be_added_before_rounding() {
    let mut chain = Chain::new(1);
    chain.quantize(&[1.0], &[0.0], 0.0, 255.0);
    chain.dequantize(&[1.0], &[7.0]);
    chain.quantize_with_zero_point(&[2.0], &[3.0], 0.0, 255.0);
    let affines = chain.affines(1);
    assert_eq!(affines.len(), 1);
    for value in 0..=255 {
        let expected = ((f64::from(value) - 7.0) / 2.0 + 3.0).round_ties_even().clamp(0.0, 255.0);
        assert_eq!(f64::from(affines[0].apply(0, value as f32)), expected);
    }
}

/// So do means of values that keep their scale, which is not a requantization.
#[test]
fn ties_of_means_are_those_of_onnx() {
    for (zero_point, count) in [(3.0, 2), (4.0, 1), (255.0, 2)] {
        let mut chain = Chain::new(1);
        chain.decode(&[0.1 / 4.0], &[-0.1 * 9.0]);
        chain.quantize(&[0.1], &[zero_point], 0.0, 255.0);
        let affines = chain.affines(0);
        assert_eq!(affines.len(), count);
        for sum in 0..=1020 {
            let expected = (f64::from(sum) / 4.0 - 9.0).round_ties_even() + zero_point;
            let found = affines.iter().fold(sum as f32, |value, affine| affine.apply(0, value));
            assert_eq!(f64::from(found), expected.clamp(0.0, 255.0), "a sum of {sum}, {zero_point}");
        }
    }
}
