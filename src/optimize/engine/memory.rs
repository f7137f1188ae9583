//! The memory that an engine writes to while it runs.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::sharing::Sharing;
use crate::kernels::{Aligned, Kernels, ThreadPool};

/// Memory that is used within one tile; every thread has its own. Each buffer is as long as its largest user needs.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The operators' part.
    pub(super) tile: TileScratch,
    /// Quantized results of an operator before their epilogue.
    pub(super) quantized_results: Aligned<u8>,
    /// F32 results of an operator before their epilogue.
    pub(super) f32_results: Aligned<f32>,
}

/// The part of [`Scratch`] that operators work with.
#[derive(Debug)]
pub(super) struct TileScratch {
    /// The input of a convolution or pool.
    pub(super) qvalues: Aligned<u8>,
    /// The same before im2row; rows of a pool.
    pub(super) raw_qvalues: Aligned<u8>,
    pub(super) floats: Aligned<f32>,
    pub(super) raw_floats: Aligned<f32>,
    /// Accumulators of a convolution.
    pub(super) accumulators: Aligned<i32>,
    /// Sums of a pool.
    pub(super) shorts: Aligned<u16>,
    pub(super) raw_shorts: Aligned<u16>,
}

impl Scratch {
    fn new(size: ScratchSize) -> Self {
        Self {
            tile: TileScratch {
                qvalues: Aligned::new(size.qvalues),
                raw_qvalues: Aligned::new(size.raw_qvalues),
                floats: Aligned::new(size.floats),
                raw_floats: Aligned::new(size.raw_floats),
                accumulators: Aligned::new(size.accumulators),
                shorts: Aligned::new(size.shorts),
                raw_shorts: Aligned::new(size.raw_shorts),
            },
            quantized_results: Aligned::new(size.quantized_results),
            f32_results: Aligned::new(size.f32_results),
        }
    }
}

/// How much scratch a layer needs: lengths of the buffers of [`Scratch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ScratchSize {
    pub(super) qvalues: usize,
    pub(super) raw_qvalues: usize,
    pub(super) quantized_results: usize,
    pub(super) floats: usize,
    pub(super) raw_floats: usize,
    pub(super) f32_results: usize,
    pub(super) accumulators: usize,
    pub(super) shorts: usize,
    pub(super) raw_shorts: usize,
}

impl ScratchSize {
    /// The scratch that is enough for both.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            qvalues: self.qvalues.max(other.qvalues),
            raw_qvalues: self.raw_qvalues.max(other.raw_qvalues),
            quantized_results: self.quantized_results.max(other.quantized_results),
            floats: self.floats.max(other.floats),
            raw_floats: self.raw_floats.max(other.raw_floats),
            f32_results: self.f32_results.max(other.f32_results),
            accumulators: self.accumulators.max(other.accumulators),
            shorts: self.shorts.max(other.shorts),
            raw_shorts: self.raw_shorts.max(other.raw_shorts),
        }
    }

    /// Bytes of a thread's scratch; `None` on overflow.
    fn bytes(self) -> Option<u64> {
        let values = [
            (self.qvalues, 1),
            (self.raw_qvalues, 1),
            (self.quantized_results, 1),
            (self.shorts, 2),
            (self.raw_shorts, 2),
            (self.floats, 4),
            (self.raw_floats, 4),
            (self.f32_results, 4),
            (self.accumulators, 4),
        ];
        values.into_iter().try_fold(0_u64, |all, (values, size)| all.checked_add((values as u64).checked_mul(size)?))
    }
}

/// Memory and threads to run an engine with.
#[derive(Debug)]
pub struct Memory {
    pub(super) kernels: Kernels,
    pub(super) bytes: Aligned<u8>,
    pub(super) floats: Aligned<f32>,
    pub(super) scratches: Vec<Mutex<Scratch>>,
    pub(super) thread_pool: ThreadPool,
    /// How threads share the loading of each input, and each task.
    pub(super) loadings: Vec<Sharing>,
    pub(super) sharings: Vec<Sharing>,
    size: usize,
}

impl Memory {
    /// Memory for `bytes` quantized values, `floats` f32 values and `threads` times `scratch`.
    pub(super) fn new(kernels: Kernels, (bytes, floats): (usize, usize), scratch: ScratchSize, threads: usize) -> Self {
        Self {
            kernels,
            bytes: Aligned::new(bytes),
            floats: Aligned::new(floats),
            scratches: (0..threads).map(|_| Mutex::new(Scratch::new(scratch))).collect(),
            thread_pool: ThreadPool::new(threads),
            loadings: Vec::new(),
            sharings: Vec::new(),
            size: Self::size_of((bytes, floats), scratch, threads).map_or(usize::MAX, |size| size as usize),
        }
    }

    /// Bytes that [`Memory::new`] would allocate; `None` on overflow.
    pub(super) fn size_of((bytes, floats): (usize, usize), scratch: ScratchSize, threads: usize) -> Option<u64> {
        let shared = (floats as u64).checked_mul(4)?.checked_add(bytes as u64)?;
        scratch.bytes()?.checked_mul(threads as u64)?.checked_add(shared)
    }

    /// Bytes of all activations and scratch: a run uses no other memory.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// The scratch of a thread of the pool, which no other thread uses.
pub(super) fn own(scratches: &[Mutex<Scratch>], index: usize) -> MutexGuard<'_, Scratch> {
    scratches[index].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice without a range in its middle, which is written while the rest is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitBorrow<'a, T> {
    left: &'a [T],
    right: &'a [T],
    right_start: usize,
}

impl<'a, T> SplitBorrow<'a, T> {
    /// The range, and the rest.
    pub(super) fn split(all: &'a mut [T], range: Range<usize>) -> (&'a mut [T], Self) {
        let (left, rest) = all.split_at_mut(range.start);
        let (middle, right) = rest.split_at_mut(range.len());
        (middle, Self { left, right, right_start: range.end })
    }

    /// All of a slice.
    pub(super) fn whole(all: &'a [T]) -> Self {
        Self { left: all, right: &[], right_start: all.len() }
    }

    /// The values from `start` on, up to the range or the end.
    pub(super) fn from(&self, start: usize) -> &'a [T] {
        if start < self.left.len() { &self.left[start..] } else { &self.right[start - self.right_start..] }
    }
}

/// The memory that a layer can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) bytes: SplitBorrow<'a, u8>,
    pub(super) floats: SplitBorrow<'a, f32>,
}
