use super::*;
use crate::kernels::Isa;

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}

/// Every kernel but the plain one that this processor has; says which it lacks.
fn kernels() -> Vec<Kernels> {
    let mut found = Vec::new();
    for isa in Isa::ALL.into_iter().skip(1) {
        match Kernels::of(isa) {
            Some(kernels) => found.push(kernels),
            None => eprintln!("SKIPPED: this processor lacks {}", isa.name()),
        }
    }
    found
}

/// One case: codes and weights as `x` and `w` make them of noise.
fn check(outputs: usize, steps: usize, blocks: usize, bounds: (f32, f32), x: fn(u32) -> u8, w: fn(u32) -> i8) {
    let mut noise = Noise((outputs * 1000 + steps * 10 + blocks) as u64);
    let weights: Vec<i8> = (0..outputs * steps * 4).map(|_| w(noise.next())).collect();
    let packed = Packed::new(outputs, steps, |o, s, c| weights[(o * steps + s) * 4 + c]);
    let pixels = 0..blocks * BLOCK;
    let offsets: Vec<usize> = (0..steps).map(|_| 4 * (noise.next() as usize % 500)).collect();
    let input: Vec<u8> = (0..4 * (500 + pixels.end)).map(|_| x(noise.next())).collect();
    let padded = packed.groups() * 4;
    let start: Vec<i32> = (0..padded).map(|_| noise.next() as i32 % 10_000).collect();
    let scale = 3.0 / (steps as f32 * 1000.0);
    let mul: Vec<f32> = (0..padded).map(|i| scale * (1.0 + i as f32 / 70.0)).collect();
    let add: Vec<f32> = (0..padded).map(|i| i as f32 - 30.5).collect();
    let convolution = Convolution { weights: &packed, offsets: &offsets, start: &start };
    let requantize = Requantize { mul: &mul, add: &add, low: bounds.0, high: bounds.1 };
    let plane = 4 * pixels.end + 64;
    let run = |kernels: Kernels| {
        let mut output = vec![7; packed.groups() * plane];
        kernels.convolve(&convolution, &requantize, &input, &mut output, plane, pixels.clone());
        output
    };
    let expected = run(Kernels::of(Isa::Scalar).unwrap());
    for kernels in kernels() {
        assert!(
            run(kernels) == expected,
            "{}: {outputs} outputs, {steps} steps, {blocks} blocks",
            kernels.isa().name()
        );
    }
}

fn any_code(noise: u32) -> u8 {
    noise as u8
}

fn any_weight(noise: u32) -> i8 {
    (((noise >> 9) % 255) as i32 - 127) as i8
}

#[test]
fn every_shape_gives_the_same_bits() {
    for outputs in 1..=70 {
        check(outputs, 1 + outputs * 7 % 70, 1 + outputs % 5, (0.0, 255.0), any_code, any_weight);
    }
    for steps in 1..=70 {
        check(1 + steps * 11 % 70, steps, 1 + steps % 4, (-128.0, 127.0), any_code, any_weight);
    }
}

#[test]
fn extremes_give_the_same_bits() {
    let codes: [fn(u32) -> u8; 4] = [|_| 0, |_| 255, |n| if n & 64 == 0 { 0 } else { 255 }, |_| 128];
    let weights: [fn(u32) -> i8; 3] = [|_| 127, |_| -127, |n| if n & 32 == 0 { -127 } else { 127 }];
    for x in codes {
        for w in weights {
            for bounds in [(0.0, 255.0), (-128.0, 127.0), (0.0, 127.0)] {
                check(12, 300, 3, bounds, x, w);
                check(8, 65, 4, bounds, x, w);
            }
        }
    }
}

#[test]
#[should_panic(expected = "the input reaches")]
fn short_inputs_are_refused() {
    let packed = Packed::new(4, 1, |_, _, _| 1);
    let convolution = Convolution { weights: &packed, offsets: &[4], start: &[0; 4] };
    let requantize = Requantize { mul: &[1.0; 4], add: &[0.0; 4], low: 0.0, high: 255.0 };
    Kernels::best().convolve(&convolution, &requantize, &[0; 64], &mut [0; 64], 64, 0..16);
}
