//! All that an engine writes to while it runs.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::kernels::{Kernels, Team};

/// Values from the first cache line on.
#[derive(Debug)]
pub(super) struct Aligned<T> {
    values: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Aligned<T> {
    pub(super) fn new(len: usize) -> Self {
        let spare = 64 / size_of::<T>();
        let values = vec![T::default(); len + spare];
        let start = values.as_ptr().align_offset(64).min(spare);
        Self { values, start }
    }

    pub(super) fn values(&mut self) -> &mut [T] {
        &mut self.values[self.start..]
    }
}

/// Room for what lives within a part of a layer only; every thread has its own. Each is as long as the longest user needs.
#[derive(Debug)]
pub(super) struct Scratch {
    /// What a convolution reads.
    pub(super) codes: Aligned<u8>,
    /// The same before it is put in order.
    pub(super) raw_codes: Aligned<u8>,
    /// Results before their last steps.
    pub(super) spare_codes: Aligned<u8>,
    pub(super) reals: Aligned<f32>,
    pub(super) raw_reals: Aligned<f32>,
    /// Results before their last steps.
    pub(super) spare_reals: Aligned<f32>,
    pub(super) sums: Aligned<i32>,
    pub(super) shorts: Aligned<u16>,
    pub(super) raw_shorts: Aligned<u16>,
}

/// How much scratch a layer needs: lengths of the fields of [`Scratch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Need {
    pub(super) codes: usize,
    pub(super) raw_codes: usize,
    pub(super) spare_codes: usize,
    pub(super) reals: usize,
    pub(super) raw_reals: usize,
    pub(super) spare_reals: usize,
    pub(super) sums: usize,
    pub(super) shorts: usize,
    pub(super) raw_shorts: usize,
}

impl Need {
    /// What is enough for both.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            codes: self.codes.max(other.codes),
            raw_codes: self.raw_codes.max(other.raw_codes),
            spare_codes: self.spare_codes.max(other.spare_codes),
            reals: self.reals.max(other.reals),
            raw_reals: self.raw_reals.max(other.raw_reals),
            spare_reals: self.spare_reals.max(other.spare_reals),
            sums: self.sums.max(other.sums),
            shorts: self.shorts.max(other.shorts),
            raw_shorts: self.raw_shorts.max(other.raw_shorts),
        }
    }

    /// Bytes of a thread's scratch; `None` for more than can be counted.
    fn bytes(self) -> Option<u64> {
        let values = [
            (self.codes, 1),
            (self.raw_codes, 1),
            (self.spare_codes, 1),
            (self.shorts, 2),
            (self.raw_shorts, 2),
            (self.reals, 4),
            (self.raw_reals, 4),
            (self.spare_reals, 4),
            (self.sums, 4),
        ];
        values.into_iter().try_fold(0_u64, |all, (values, size)| all.checked_add((values as u64).checked_mul(size)?))
    }
}

/// Memory and threads to run an engine with.
#[derive(Debug)]
pub struct Memory {
    pub(super) kernels: Kernels,
    pub(super) bytes: Aligned<u8>,
    pub(super) reals: Aligned<f32>,
    pub(super) scratches: Vec<Mutex<Scratch>>,
    pub(super) team: Team,
    size: usize,
}

impl Memory {
    /// Room for `bytes` codes, `reals` numbers and `threads` times the scratch that is needed.
    pub(super) fn new(kernels: Kernels, (bytes, reals): (usize, usize), need: Need, threads: usize) -> Self {
        let scratch = |_| {
            Mutex::new(Scratch {
                codes: Aligned::new(need.codes),
                raw_codes: Aligned::new(need.raw_codes),
                spare_codes: Aligned::new(need.spare_codes),
                reals: Aligned::new(need.reals),
                raw_reals: Aligned::new(need.raw_reals),
                spare_reals: Aligned::new(need.spare_reals),
                sums: Aligned::new(need.sums),
                shorts: Aligned::new(need.shorts),
                raw_shorts: Aligned::new(need.raw_shorts),
            })
        };
        Self {
            kernels,
            bytes: Aligned::new(bytes),
            reals: Aligned::new(reals),
            scratches: (0..threads).map(scratch).collect(),
            team: Team::new(threads),
            size: Self::size_of((bytes, reals), need, threads).map_or(usize::MAX, |size| size as usize),
        }
    }

    /// Bytes of what [`Memory::new`] would allocate; `None` for more than can be counted.
    pub(super) fn size_of((bytes, reals): (usize, usize), need: Need, threads: usize) -> Option<u64> {
        let shared = (reals as u64).checked_mul(4)?.checked_add(bytes as u64)?;
        need.bytes()?.checked_mul(threads as u64)?.checked_add(shared)
    }

    /// Bytes of all activations and all that is computed on the way: there is no other memory in a run.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// The scratch of a member of the team, which nobody else uses.
pub(super) fn own(scratches: &[Mutex<Scratch>], member: usize) -> MutexGuard<'_, Scratch> {
    scratches[member].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice but for a range in its middle, which is written while the rest is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a, T> {
    left: &'a [T],
    right: &'a [T],
    right_start: usize,
}

impl<'a, T> Around<'a, T> {
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

/// What a layer can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) bytes: Around<'a, u8>,
    pub(super) reals: Around<'a, f32>,
}
