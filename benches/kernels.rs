//! What the int8 kernels reach at the shapes of real layers, beside the processor's peak: `cargo bench --bench kernels`.
//!
//! The peak is a loop of nothing but the instructions that multiply, on registers. Kernels and peak take turns, and of each
//! the best turn counts: a noisy neighbour can only slow things down. Arguments choose kernels by their names.

use std::hint::black_box;
use std::time::{Duration, Instant};

use densight::kernels::{
    AffineChain, ChainInput, Convolve, Factors, Isa, Kernels, PIXEL_BLOCK, Peak, PlanesMut, QuantType, Requantize,
};
use densight::quant::{Affine, Function};

/// Time for each turn.
const TURN: Duration = Duration::from_millis(4);
const TURNS: usize = 12;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Taps on a side, input channels, output channels, pixels on a side.
const SHAPES: &[(&str, &[[usize; 4]])] = &[
    (
        "DenseNet-121",
        &[
            [1, 64, 128, 56],
            [1, 224, 128, 56],
            [3, 128, 32, 56],
            [1, 128, 128, 28],
            [1, 480, 128, 28],
            [3, 128, 32, 28],
            [1, 256, 128, 14],
            [1, 992, 128, 14],
            [3, 128, 32, 14],
            [1, 512, 128, 7],
            [1, 992, 128, 7],
            [3, 128, 32, 7],
        ],
    ),
    (
        "DenseNet-BC L=100 k=12",
        &[
            [1, 24, 48, 32],
            [1, 204, 48, 32],
            [3, 48, 12, 32],
            [1, 108, 48, 16],
            [1, 288, 48, 16],
            [3, 48, 12, 16],
            [1, 150, 48, 8],
            [1, 330, 48, 8],
            [3, 48, 12, 8],
        ],
    ),
];

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for isa in Isa::available().into_iter().rev() {
        let wanted = if chosen.is_empty() { isa != Isa::Scalar } else { chosen.iter().any(|name| name == isa.name()) };
        if let Some(kernels) = Kernels::new(isa).filter(|_| wanted) {
            table(kernels);
        }
    }
}

fn table(kernels: Kernels) {
    println!("{}: GMAC/s of multiply-adds computed, padding included", kernels.isa());
    for (network, shapes) in SHAPES {
        println!("  {network:34} {:>8} {:>8} {:>6}   read, GB/s", "kernel", "peak", "share");
        for &[taps, channels, outputs, side] in *shapes {
            let (rate, peak, read) = shape(kernels, taps, channels, outputs, side);
            let name = format!("{taps}x{taps} {channels} -> {outputs} at {side}x{side}");
            let share = if peak > 0.0 { format!("{:5.1}%", 100.0 * rate / peak) } else { "-".into() };
            println!("    {name:32} {rate:8.1} {peak:8.1} {share:>6}   {read:.1}");
        }
    }
}

/// Best rates of convolution, peak (GMAC/s) and reading of as many channels (GB/s).
fn shape(kernels: Kernels, taps: usize, channels: usize, outputs: usize, side: usize) -> (f64, f64, f64) {
    let plane_stride = side + 1;
    let pixels = (side * plane_stride).next_multiple_of(PIXEL_BLOCK);
    let planes = channels.div_ceil(4);
    // Before a 3x3, a row above and below, a pixel before and after. Planes are an odd number of cache lines apart.
    let halo = if taps == 3 { 2 * plane_stride + 2 } else { 0 };
    let plane = (4 * (pixels + halo)).div_ceil(LINE) * LINE;
    let plane = if (plane / LINE).is_multiple_of(2) { plane + LINE } else { plane };
    let buffer: Vec<u8> = (0..planes * plane + LINE).map(|i| (i * 37 % 251) as u8).collect();
    let input = &buffer[buffer.as_ptr().align_offset(LINE)..];
    let tap = |i: usize| 4 * (i / taps * plane_stride + i % taps);
    let places = (0..planes).flat_map(|p| (0..taps * taps).map(move |i| (p * plane + tap(i)) as u32));
    let offsets: Vec<u32> = places.collect();
    // Weights as trained ones are spread: near the normal distribution, the greatest of them 127.
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 58) as i32
    };
    let mut weight = || ((0..4).map(|_| uniform()).sum::<i32>() - 126).clamp(-127, 127) as i8;
    let weights: Vec<i8> = (0..outputs * offsets.len() * 4).map(|_| weight()).collect();
    let weights = kernels.pack(&weights, &vec![0; outputs], &offsets).expect("no weight is -128");
    let step = |n: usize, mul: f32| Affine {
        mul: vec![mul; n],
        add: vec![7.0; n],
        function: Function::Identity,
        low: 0.0,
        high: 255.0,
        round: true,
    };
    let requantize = Requantize::new(&step(outputs, 1e-4), QuantType::Activation).expect("it fits");
    // Factors and summands of norms, no two the same.
    let mut norm = step(4 * planes, 1.0);
    norm.mul.iter_mut().enumerate().for_each(|(i, mul)| *mul = 0.3 + (i * 331 % 1009) as f32 * 0.001_937);
    norm.add.iter_mut().enumerate().for_each(|(i, add)| *add = (i * 577 % 1013) as f32 * 0.197_3 - 80.0);
    let chain = AffineChain::new(&[norm], QuantType::Signed, QuantType::Activation).expect("it fits");
    let mut out = vec![0; outputs / 4 * 4 * pixels];
    let mut activations = vec![0; planes * plane];
    let what = Convolve { input, weights: &weights, pixels, first: 0 };
    let read = ChainInput { input, plane_stride: plane, planes: 0..planes, pixels };
    let macs = (outputs * offsets.len() * 4 * pixels) as f64;
    let (mut best, peak) = ((0f64, 0f64, 0f64), Peak::new(kernels.isa(), Factors::Int8));
    for _ in 0..TURNS {
        best.1 = best.1.max(peak.map_or(0.0, |peak| rate(Peak::MACS, || peak.run())));
        best.0 = best.0.max(rate(macs, || {
            let mut out = PlanesMut::new(&mut out, outputs / 4, 4 * pixels, 4 * pixels);
            kernels.convolve(black_box(&what), &requantize, &mut out);
        }));
        best.2 = best.2.max(rate((4 * planes * pixels) as f64, || {
            kernels.affine(&chain, black_box(&read), &mut PlanesMut::new(&mut activations, planes, plane, 4 * pixels));
        }));
    }
    best
}

/// How many billions a second, over one turn.
fn rate(amount: f64, mut run: impl FnMut()) -> f64 {
    let (start, mut runs) = (Instant::now(), 0.0);
    while start.elapsed() < TURN {
        run();
        runs += 1.0;
    }
    amount * runs / start.elapsed().as_secs_f64() / 1e9
}
