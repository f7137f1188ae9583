//! Packed weights, which are most of a prepared model: in memory of their own, or in the model's file, mapped and shared with other
//! processes.

use std::fmt;
use std::io::{Read, Result, Write};
use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;

use super::{Aligned, Mapping};

/// Each layer's weights begin at a multiple of this many bytes of a prepared model.
pub const ALIGNMENT: usize = 64;

/// The packed weights of a layer.
#[derive(Clone)]
pub struct Weights<T: Pod + Default>(Place<T>);

#[derive(Clone)]
enum Place<T: Pod + Default> {
    Owned(Aligned<T>),
    /// `len` values from byte `at` of a file; they are aligned, and inside it.
    Mapped {
        file: Arc<Mapping>,
        at: usize,
        len: usize,
    },
}

impl<T: Pod + Default> Weights<T> {
    /// `len` values from byte `at` of the file; `None` if they are not inside it, or not aligned.
    fn mapped(file: &Arc<Mapping>, at: usize, len: usize) -> Option<Self> {
        let bytes = file.get(at..at.checked_add(len.checked_mul(size_of::<T>())?)?)?;
        bytemuck::try_cast_slice::<u8, T>(bytes).ok()?;
        Some(Self(Place::Mapped { file: file.clone(), at, len }))
    }

    /// Bytes that lie in a mapped file.
    fn shared(&self) -> usize {
        match &self.0 {
            Place::Owned(_) => 0,
            Place::Mapped { len, .. } => len * size_of::<T>(),
        }
    }
}

impl<T: Pod + Default> From<Vec<T>> for Weights<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Place::Owned(Aligned::from(values.as_slice())))
    }
}

impl<T: Pod + Default> Default for Weights<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Pod + Default> Deref for Weights<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Place::Owned(values) => values,
            Place::Mapped { file, at, len } => bytemuck::cast_slice(&file[*at..*at + len * size_of::<T>()]),
        }
    }
}

impl<T: Pod + Default + PartialEq> PartialEq for Weights<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + Default + Eq> Eq for Weights<T> {}

impl<T: Pod + Default> fmt::Debug for Weights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights", self.len())
    }
}

/// Weights, and their expected number, as they are stored: apart from all else, little-endian, at multiples of [`ALIGNMENT`].
#[derive(Debug)]
pub enum Blob<'a> {
    /// s8.
    Quantized(&'a mut Weights<i8>, usize),
    /// s16.
    Shorts(&'a mut Weights<i16>, usize),
    /// f32.
    Reals(&'a mut Weights<f32>, usize),
}

/// Number of weights that are converted at a time.
const PART: usize = 4096;

impl Blob<'_> {
    /// The expected number of bytes; `None` if that is more than there can be.
    pub fn bytes(&self) -> Option<usize> {
        match self {
            Self::Quantized(_, len) => Some(*len),
            Self::Shorts(_, len) => len.checked_mul(size_of::<i16>()),
            Self::Reals(_, len) => len.checked_mul(size_of::<f32>()),
        }
    }

    /// Bytes that lie in a mapped file.
    pub fn shared(&self) -> usize {
        match self {
            Self::Quantized(weights, _) => weights.shared(),
            Self::Shorts(weights, _) => weights.shared(),
            Self::Reals(weights, _) => weights.shared(),
        }
    }

    /// Writes the weights.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(self, to: &mut impl Write) -> Result<()> {
        match self {
            Self::Quantized(values, _) => to.write_all(bytemuck::cast_slice(values)),
            Self::Shorts(values, _) => write(to, values, |value| value.to_le_bytes()),
            Self::Reals(values, _) => write(to, values, |value| value.to_le_bytes()),
        }
    }

    /// Reads the weights into memory of their own.
    ///
    /// # Errors
    /// Those of `from`, and an early end.
    pub fn read(self, from: &mut impl Read) -> Result<()> {
        match self {
            Self::Quantized(values, len) => *values = read(from, len, |[byte]: [u8; 1]| byte as i8)?.into(),
            Self::Shorts(values, len) => *values = read(from, len, i16::from_le_bytes)?.into(),
            Self::Reals(values, len) => *values = read(from, len, f32::from_le_bytes)?.into(),
        }
        Ok(())
    }

    /// Takes the weights from byte `at` of a mapped file; false if they cannot lie there.
    pub fn map(self, file: &Arc<Mapping>, at: usize) -> bool {
        match self {
            Self::Quantized(values, len) => Weights::mapped(file, at, len).map(|mapped| *values = mapped).is_some(),
            // Values of a big-endian machine are others.
            Self::Shorts(..) | Self::Reals(..) if cfg!(target_endian = "big") => false,
            Self::Shorts(values, len) => Weights::mapped(file, at, len).map(|mapped| *values = mapped).is_some(),
            Self::Reals(values, len) => Weights::mapped(file, at, len).map(|mapped| *values = mapped).is_some(),
        }
    }
}

/// Writes values of `N` bytes each.
fn write<T: Copy, const N: usize>(to: &mut impl Write, values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Result<()> {
    values
        .chunks(PART)
        .try_for_each(|part| to.write_all(&part.iter().flat_map(|value| bytes(*value)).collect::<Vec<u8>>()))
}

/// `len` values of `N` bytes each. Of a length that is not to be believed no more is allocated than there is to read.
fn read<T, const N: usize>(from: &mut impl Read, len: usize, value: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut bytes = [0; 4 * PART];
    while values.len() < len {
        let part = &mut bytes[..N * (len - values.len()).min(4 * PART / N)];
        from.read_exact(part)?;
        values.extend(part.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)));
    }
    Ok(values)
}
