//! The points of F(4x4, 3x3), and the matrices that follow from them.
//!
//! Usual are 0, ±1, ±2 and infinity. At 0, ±3/4, ±3/2 and infinity the transforms amplify rounding less (half of the error, see
//! `docs/performance.md`), and all their factors are exact in f32 too.

use super::{SPAN, WINOGRAD_POSITIONS};

/// The points other than 0 and infinity are these, with either sign.
pub(super) const NEAR: f32 = 0.75;
pub(super) const FAR: f32 = 1.5;

/// Powers of the points, and what their polynomials consist of. All are exact.
pub(super) const NEAR2: f32 = NEAR * NEAR;
pub(super) const FAR2: f32 = FAR * FAR;
pub(super) const NEAR3: f32 = NEAR2 * NEAR;
pub(super) const FAR3: f32 = FAR2 * FAR;
pub(super) const SUM: f32 = NEAR2 + FAR2;
pub(super) const PRODUCT: f32 = NEAR2 * FAR2;

/// The weights of a 3x3 at the 36 positions: `G g Gᵀ`, in f64, rounded once.
pub fn winograd_weights(weights: &[f32; 9]) -> [f32; WINOGRAD_POSITIONS] {
    let g = |row: usize, column: usize| f64::from(weights[3 * row + column]);
    let columns: [[f64; SPAN]; 3] = std::array::from_fn(|column| transform([0, 1, 2].map(|row| g(row, column))));
    let mut all = [0.0; WINOGRAD_POSITIONS];
    for (row, out) in all.chunks_exact_mut(SPAN).enumerate() {
        let line = transform([0, 1, 2].map(|column| columns[column][row]));
        out.iter_mut().zip(line).for_each(|(out, value)| *out = value as f32);
    }
    all
}

/// `G`, times a row or column: its polynomial at each point, divided by the differences from the other points.
fn transform([g0, g1, g2]: [f64; 3]) -> [f64; SPAN] {
    let (near, far) = (f64::from(NEAR), f64::from(FAR));
    let (near2, far2) = (near * near, far * far);
    let at = |point: f64, scale: f64| (g0 + point * g1 + point * point * g2) / scale;
    let (by_near, by_far) = (2.0 * near2 * (near2 - far2), 2.0 * far2 * (far2 - near2));
    [g0 / (near2 * far2), at(near, by_near), at(-near, by_near), at(far, by_far), at(-far, by_far), g2]
}
