//! Packed weights as bytes, which are most of a stored network: they are read straight into their final buffer.

use std::io::{Read, Result, Write};

/// Weights, and their expected number. Values are little-endian.
#[derive(Debug)]
pub enum Blob<'a> {
    /// s8.
    Quantized(&'a mut Vec<i8>, usize),
    /// f32.
    Reals(&'a mut Vec<f32>, usize),
}

/// Number of weights that are converted at a time.
const PART: usize = 4096;

impl Blob<'_> {
    /// Writes the weights.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(self, to: &mut impl Write) -> Result<()> {
        match self {
            Self::Quantized(values, _) => values
                .chunks(PART)
                .try_for_each(|part| to.write_all(&part.iter().map(|value| *value as u8).collect::<Vec<u8>>())),
            Self::Reals(values, _) => values.chunks(PART).try_for_each(|part| {
                to.write_all(&part.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            }),
        }
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// Those of `from`, and an early end.
    pub fn read(self, from: &mut impl Read) -> Result<()> {
        let mut bytes = [0; 4 * PART];
        match self {
            Self::Quantized(values, len) => {
                while values.len() < len {
                    let part = &mut bytes[..(len - values.len()).min(4 * PART)];
                    from.read_exact(part)?;
                    values.extend(part.iter().map(|byte| *byte as i8));
                }
            }
            Self::Reals(values, len) => {
                while values.len() < len {
                    let part = &mut bytes[..4 * (len - values.len()).min(PART)];
                    from.read_exact(part)?;
                    values.extend(part.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                }
            }
        }
        Ok(())
    }
}
