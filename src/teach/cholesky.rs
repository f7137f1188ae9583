//! Symmetric systems of equations, by Cholesky's decomposition in blocks.

use ndarray::{Array2, ArrayViewMut2, linalg::general_mat_mul, s};

/// Columns that are decomposed together; the rest is products of matrices.
const BLOCK: usize = 64;
/// Columns of the rest that are updated together.
const STRIP: usize = 256;

/// The solution `X` of `matrix * X = right` for a symmetric and positive definite matrix.
pub(super) fn solve(mut matrix: Array2<f64>, mut right: Array2<f64>) -> Array2<f64> {
    decompose(&mut matrix);
    let n = matrix.nrows();
    for i in 0..n {
        let (before, mut rest) = right.view_mut().split_at(ndarray::Axis(0), i);
        let mut row = rest.row_mut(0);
        let known = matrix.slice(s![i, ..i]).dot(&before);
        row -= &known;
        row /= matrix[[i, i]];
    }
    for i in (0..n).rev() {
        let (mut before, behind) = right.view_mut().split_at(ndarray::Axis(0), i + 1);
        let mut row = before.row_mut(i);
        let known = matrix.slice(s![i + 1.., i]).dot(&behind);
        row -= &known;
        row /= matrix[[i, i]];
    }
    right
}

/// The inverse of the lower triangle `L` with `L L' = matrix`, which is symmetric and positive definite.
pub(super) fn inverse_factor(mut matrix: Array2<f64>) -> Array2<f64> {
    decompose(&mut matrix);
    let n = matrix.nrows();
    let mut inverse = Array2::<f64>::eye(n);
    for i in 0..n {
        let (before, mut rest) = inverse.view_mut().split_at(ndarray::Axis(0), i);
        let mut row = rest.row_mut(0);
        row -= &matrix.slice(s![i, ..i]).dot(&before);
        row /= matrix[[i, i]];
    }
    inverse
}

/// Writes the lower triangle `L` with `L L' = matrix` over the matrix's; what is above the diagonal is of no meaning then.
fn decompose(matrix: &mut Array2<f64>) {
    let n = matrix.nrows();
    for first in (0..n).step_by(BLOCK) {
        let end = n.min(first + BLOCK);
        panel(matrix.slice_mut(s![first.., first..end]));
        if end < n {
            let below = matrix.slice(s![end.., first..end]).to_owned();
            // Of what is left only the lower triangle is read.
            for left in (end..n).step_by(STRIP) {
                let right = n.min(left + STRIP);
                let mut rest = matrix.slice_mut(s![left.., left..right]);
                let (rows, columns) = (below.slice(s![left - end.., ..]), below.slice(s![left - end..right - end, ..]));
                general_mat_mul(-1.0, &rows, &columns.t(), 1.0, &mut rest);
            }
        }
    }
}

/// Decomposes the first columns of what is left: a square on the diagonal, and what is below it.
fn panel(mut panel: ArrayViewMut2<'_, f64>) {
    let (rows, columns) = panel.dim();
    for column in 0..columns {
        let square: f64 = panel.slice(s![column, ..column]).iter().map(|value| value * value).sum();
        // Rounding may leave less than nothing of a very small one.
        let pivot = (panel[[column, column]] - square).max(f64::MIN_POSITIVE).sqrt();
        panel[[column, column]] = pivot;
        for row in column + 1..rows {
            let known = panel.slice(s![row, ..column]).dot(&panel.slice(s![column, ..column]));
            panel[[row, column]] = (panel[[row, column]] - known) / pivot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_whatever_its_size() {
        for n in [1, 2, 63, 64, 65, 200, 400] {
            let noise = |i: usize, j: usize| ((i * 31 + j * 17 + i * j) % 101) as f64 / 101.0 - 0.5;
            let factor = Array2::from_shape_fn((n, n), |(i, j)| noise(i, j));
            let matrix = factor.dot(&factor.t()) + Array2::<f64>::eye(n) * 0.1;
            let expected = Array2::from_shape_fn((n, 3), |(i, j)| noise(j, i + 5));
            let found = solve(matrix.clone(), matrix.dot(&expected));
            let worst = (&found - &expected).iter().fold(0.0_f64, |most, off| most.max(off.abs()));
            assert!(worst < 1e-8, "{n}: off by {worst}");
            let inverse = inverse_factor(matrix.clone());
            let one = inverse.dot(&matrix).dot(&inverse.t()) - Array2::<f64>::eye(n);
            let worst = one.iter().fold(0.0_f64, |most, off| most.max(off.abs()));
            assert!(worst < 1e-8, "{n}: off by {worst}");
        }
    }
}
