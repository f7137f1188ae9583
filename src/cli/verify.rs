//! `densight inspect --verify`: a network in Densight's kernels beside the same network left to tract.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::picture;
use crate::runtime::{Preprocessor, Session, SessionOptions};

/// The picture that both are given.
const PICTURE: &[u8] = include_bytes!("../camera/clip/chelsea.jpg");

/// How far scores may be apart, as a share of their size (root mean squares). In f32 only the order of sums differs. In int8 a sum on the
/// edge between two quantized values falls to either side, which all later layers see.
const FLOAT_LIMIT: f64 = 1e-3;
const INT8_LIMIT: f64 = 0.25;

/// How far the scores of the two are apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Verified {
    /// Root mean square of the differences as a share of that of tract's scores.
    error: f64,
    /// The largest that is allowed.
    limit: f64,
    /// Largest difference of two scores.
    largest_difference: f64,
    /// Largest of tract's scores, without its sign.
    largest_score: f64,
    /// Whether the error is within the limit.
    same: bool,
}

/// Runs one picture through the model at `path` twice, as `session` and left to tract.
///
/// # Errors
/// A model that tract cannot run, or that is prepared.
pub(super) fn verify(path: &Path, options: &SessionOptions, session: &mut Session) -> Result<Verified> {
    let mut stock = Session::open(path, &SessionOptions { stock: true, ..options.clone() })?;
    let limit = if session.execution()?.int8_share > 0.0 { INT8_LIMIT } else { FLOAT_LIMIT };
    let mut input = vec![0.0; session.input_shape().iter().product()];
    let picture = picture::decode_jpeg(PICTURE)?;
    Preprocessor::new(session.preprocessing().clone(), session.input_shape()).run(&picture, &mut input)?;
    Ok(Verified::new(&session.run(&input)?, &stock.run(&input)?, limit))
}

impl Verified {
    fn new(found: &[f32], right: &[f32], limit: f64) -> Self {
        let right: Vec<f64> = right.iter().map(|&score| f64::from(score)).collect();
        let differences: Vec<f64> = found.iter().zip(&right).map(|(&a, b)| f64::from(a) - b).collect();
        let power = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let most = |values: &[f64]| values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let (noise, signal) = (power(&differences), power(&right));
        Self {
            error: if noise == 0.0 { 0.0 } else { (noise / signal).sqrt() },
            limit,
            largest_difference: most(&differences),
            largest_score: most(&right),
            same: noise <= limit * limit * signal,
        }
    }

    /// Whether the scores are the same within the limit.
    pub(super) fn same(&self) -> bool {
        self.same
    }
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { error, limit, largest_difference, largest_score, .. } = self;
        write!(
            f,
            "kernels and tract give scores that are apart by {error:.1e} of their size, {limit} is allowed (largest difference \
             {largest_difference:.2e}, largest score {largest_score:.4})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shares_of_the_size() {
        let verified = Verified::new(&[3.0, -4.5], &[3.0, -4.0], FLOAT_LIMIT);
        assert_eq!((verified.error, verified.largest_difference, verified.largest_score), (0.1, 0.5, 4.0));
        assert!(!verified.same() && Verified::new(&[3.0, -4.5], &[3.0, -4.0], INT8_LIMIT).same());
        assert!(Verified::new(&[0.0], &[0.0], FLOAT_LIMIT).same(), "where all scores are 0");
        assert!(!Verified::new(&[0.1], &[0.0], INT8_LIMIT).same());
    }
}
