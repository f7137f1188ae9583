//! Agreement with PyTorch, torchvision, thop and PIL, whose outputs lie in `tests/fixtures/peers` (`tests/peers` made them).

mod counts;
mod exported;
mod found;
mod networks;
mod preprocessing;
mod quantized;
mod shared;

use std::path::{Path, PathBuf};

use ndarray::Array;
use ndarray_npy::{ReadNpyExt, ReadableElement};

/// A file or folder of the fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peers").join(name)
}

/// A NumPy file's values in row-major order, and its shape.
fn npy<T: ReadableElement + Clone>(path: &Path) -> (Vec<T>, Vec<usize>) {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let array = Array::<T, ndarray::IxDyn>::read_npy(file).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (array.iter().cloned().collect(), array.shape().to_vec())
}

/// max|a-b| / max|b|; NaN where either holds one.
fn error(ours: &[f32], truth: &[f32]) -> f32 {
    assert_eq!(ours.len(), truth.len());
    let largest =
        |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |a: f32, b| if b > a { b } else { a + 0.0 * b });
    largest(&mut ours.iter().zip(truth).map(|(a, b)| (a - b).abs())) / largest(&mut truth.iter().map(|v| v.abs()))
}
