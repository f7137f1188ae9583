//! Buffers aligned to a cache line: a vector across the border of two lines takes as long as two.

use std::ops::Deref;

use super::heap::prefer_huge_pages;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Values from the beginning of a cache line on.
#[derive(Debug)]
pub struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// `len` default values.
    pub fn new(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let mut values = vec![T::default(); len + spare];
        prefer_huge_pages(&mut values);
        let start = values.as_ptr().align_offset(LINE).min(spare);
        Self { values, start, len }
    }

    /// The values, to be written.
    pub fn values(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.len]
    }
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::new(values.len());
        aligned.values().copy_from_slice(values);
        aligned
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_with_a_line_and_stay_there() {
        // The last have whole huge pages.
        for len in [0, 1, 63, 64, 1000, 5 << 20] {
            let values: Vec<i16> = (0..len).map(|i| i as i16).collect();
            let aligned = Aligned::from(values.as_slice());
            let moved = vec![aligned.clone(), aligned];
            for aligned in moved {
                assert_eq!(aligned.as_ptr() as usize % LINE, 0);
                assert_eq!(*aligned, values);
            }
        }
    }
}
