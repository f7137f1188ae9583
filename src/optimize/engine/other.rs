//! Layers that are no int8 convolutions, on real numbers in planes of one channel.

use super::map::{Buffer, Map};
use crate::kernels::{Kernels, Reading};
use crate::model::fused::{Layer, Op, Read, Shape, Window, apply, compute};

/// Appends to `all` the numbers of a segment after the steps of `read`.
pub(super) fn gather(
    kernels: Kernels,
    read: &Read,
    map: &Map,
    buffer: &Buffer,
    scratch: &mut Vec<f32>,
    all: &mut Vec<f32>,
) {
    let reading = Reading::new(map.shape.channels, &read.steps);
    let pixels = map.pixels();
    scratch.resize(map.groups() * 4 * pixels, 0.0);
    kernels.read_real(&reading, (map.source(buffer), 4 * map.plane, map.first), (scratch, 4 * pixels, 0), pixels);
    all.reserve(map.shape.len());
    for channel in 0..map.shape.channels {
        let plane = &scratch[channel / 4 * 4 * pixels..][..4 * pixels];
        for row in 0..map.shape.height {
            let row = &plane[4 * row * map.pitch..][..4 * map.shape.width];
            all.extend(row.as_chunks::<4>().0.iter().map(|values| values[channel % 4]));
        }
    }
}

/// Writes numbers in planes of one channel to a segment.
pub(super) fn scatter(map: &Map, buffer: &mut Buffer, values: &[f32]) {
    let Shape { height, width, .. } = map.shape;
    for (channel, plane) in values.chunks_exact(map.shape.area()).enumerate() {
        for (row, values) in plane.chunks_exact(width).enumerate().take(height) {
            let start = map.at(channel / 4, row, 0) + channel % 4;
            for (column, &value) in values.iter().enumerate() {
                map.set(buffer, start + 4 * column, value);
            }
        }
    }
}

/// What a layer writes, in planes of one channel.
pub(super) fn result(layer: &Layer, input: &[f32], shape: Shape) -> Vec<f32> {
    let mut result = match &layer.op {
        Op::MaxPool(window) => pool(input, shape, window, layer.output, f32::max),
        Op::SumPool(window) => pool(input, shape, window, layer.output, |a, b| a + b),
        Op::Convolution { .. } => compute(layer, input, shape),
    };
    apply(&layer.write, &mut result, layer.output.area());
    result
}

/// A pool whose innermost loop is along a row of results. Values under each window come row by row, as in the interpreter.
fn pool(input: &[f32], shape: Shape, window: &Window, output: Shape, reduce: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let [top, left, ..] = window.padding;
    let mut result = Vec::with_capacity(output.len());
    for plane in input.chunks_exact(shape.area()) {
        for row in 0..output.height {
            for column in 0..output.width {
                let rows = inside(row, window.stride[0], window.kernel[0], top, shape.height);
                let columns = inside(column, window.stride[1], window.kernel[1], left, shape.width);
                let mut sum = None;
                for y in rows {
                    for &value in &plane[y * shape.width..][columns.clone()] {
                        sum = Some(sum.map_or(value, |sum| reduce(sum, value)));
                    }
                }
                result.push(sum.unwrap_or(0.0));
            }
        }
    }
    result
}

fn inside(place: usize, stride: usize, kernel: usize, before: usize, side: usize) -> std::ops::Range<usize> {
    let start = place * stride;
    start.saturating_sub(before)..(start + kernel).saturating_sub(before).min(side)
}
