//! Planes that several threads can write to.

use std::marker::PhantomData;
use std::ops::Range;

/// The same range of each of several planes of one buffer, to be written.
///
/// [`PlanesMut::split_at`] divides it into two that can be written by two threads, which slices cannot: the halves of the
/// planes alternate in memory.
#[derive(Debug)]
pub struct PlanesMut<'a, T> {
    start: *mut T,
    planes: usize,
    plane_stride: usize,
    len: usize,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` with holes: no two of them that can be used at once hold the same element.
unsafe impl<T: Send> Send for PlanesMut<'_, T> {}

impl<'a, T> PlanesMut<'a, T> {
    /// The first `len` elements of each of `planes` planes, which start `plane_stride` elements apart.
    ///
    /// # Panics
    /// If planes overlap or the last ends beyond the buffer.
    pub fn new(buffer: &'a mut [T], planes: usize, plane_stride: usize, len: usize) -> Self {
        assert!(len <= plane_stride, "planes of {len} do not fit a plane stride of {plane_stride}");
        let end = planes.checked_sub(1).map_or(Some(0), |last| last.checked_mul(plane_stride)?.checked_add(len));
        assert!(
            end.is_some_and(|end| end <= buffer.len()),
            "{planes} planes at {plane_stride} exceed {}",
            buffer.len()
        );
        Self { start: buffer.as_mut_ptr(), planes, plane_stride, len, buffer: PhantomData }
    }

    /// Splits each plane into the elements before `at` and those from there on.
    ///
    /// # Panics
    /// If planes have fewer than `at` elements.
    pub fn split_at(self, at: usize) -> (Self, Self) {
        assert!(at <= self.len, "cannot split planes of {} at {at}", self.len);
        let rest = self.len - at;
        // `wrapping_add`: without planes there may be no buffer to point into.
        let right = Self { start: self.start.wrapping_add(at), len: rest, ..self };
        (Self { len: at, ..self }, right)
    }

    /// Some of the planes, for a shorter time.
    ///
    /// # Panics
    /// If there are no such planes.
    pub fn range(&mut self, planes: Range<usize>) -> PlanesMut<'_, T> {
        let Range { start, end } = planes;
        assert!(start <= end && end <= self.planes, "planes {start} to {end} of {}", self.planes);
        // `wrapping_add`: behind the last plane there may be no buffer to point into.
        PlanesMut { start: self.start.wrapping_add(start * self.plane_stride), planes: end - start, ..self.reborrow() }
    }

    /// The same elements, for a shorter time.
    pub fn reborrow(&mut self) -> PlanesMut<'_, T> {
        PlanesMut { buffer: PhantomData, ..*self }
    }

    /// Number of planes.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// Elements of each plane.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.planes == 0 || self.len == 0
    }

    /// One plane.
    ///
    /// # Panics
    /// If there is no such plane.
    pub fn plane(&mut self, plane: usize) -> &mut [T] {
        assert!(plane < self.planes, "plane {plane} of {}", self.planes);
        // SAFETY: `new` has checked that the plane is inside the buffer, which is ours alone for 'a.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(plane * self.plane_stride), self.len) }
    }

    /// One plane to read, and another to write.
    ///
    /// # Panics
    /// If there are no such planes, or they are the same.
    pub fn two(&mut self, read: usize, write: usize) -> (&[T], &mut [T]) {
        assert!(read < self.planes && write < self.planes && read != write, "planes {read} and {write}");
        // SAFETY: `new` has checked that the planes are inside the buffer, which is ours alone for 'a; they do not overlap.
        unsafe {
            let plane = |plane: usize| self.start.add(plane * self.plane_stride);
            let read = std::slice::from_raw_parts(plane(read), self.len);
            (read, std::slice::from_raw_parts_mut(plane(write), self.len))
        }
    }

    /// Elements from one plane to the next.
    pub(super) fn plane_stride(&self) -> usize {
        self.plane_stride
    }

    /// Planes from `start` on, where `raw` says that this one's begin.
    ///
    /// # Safety
    /// They must be among the elements that this one was made of, and as long as the result is used nothing else may read or write them.
    pub(super) unsafe fn part(&self, start: *mut T, planes: usize, len: usize) -> PlanesMut<'_, T> {
        PlanesMut { start, planes, len, plane_stride: self.plane_stride, buffer: PhantomData }
    }

    /// The first element, without a borrow.
    pub(super) fn start(&self) -> *mut T {
        self.start
    }

    /// The first element and the distance of planes in elements, for kernels.
    pub(super) fn raw(&mut self) -> (*mut T, usize) {
        (self.start, self.plane_stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_written_by_two_threads() {
        let mut buffer = [0; 11];
        let (mut left, mut right) = PlanesMut::new(&mut buffer, 2, 6, 5).split_at(2);
        std::thread::scope(|scope| {
            scope.spawn(move || (0..2).for_each(|plane| left.plane(plane).fill(1)));
            scope.spawn(move || (0..2).for_each(|plane| right.plane(plane).fill(2)));
        });
        assert_eq!(buffer, [1, 1, 2, 2, 2, 0, 1, 1, 2, 2, 2]);
    }

    #[test]
    #[should_panic = "exceed"]
    fn the_last_plane_must_fit() {
        PlanesMut::new(&mut [0; 10], 2, 6, 5);
    }

    #[test]
    fn there_may_be_no_planes() {
        assert!(PlanesMut::<u8>::new(&mut [], 0, 6, 5).is_empty());
    }
}
