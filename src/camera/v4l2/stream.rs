//! Streaming through buffers that driver and program share (V4L2, "Streaming I/O (Memory Mapping)").

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::sys::{self, Mapping, Part, Plain, Poll, RequestBuffers};

/// Buffers to ask for: one that is being filled, one that is filled, one that is being copied, one to spare.
const BUFFERS: u32 = 4;
/// As many as a driver may have, which gives at least as many as it needs (`VIDEO_MAX_FRAME`).
const MOST_BUFFERS: u32 = 32;

/// A running stream. Dropping it stops the camera and gives the buffers back.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// The type of the buffers.
    kind: u32,
    /// The planes of each.
    buffers: Vec<Vec<Mapping>>,
    /// Bytes of a picture in each plane but the last: drivers may have more.
    plane_sizes: Vec<usize>,
}

/// One filled buffer.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) data: Vec<u8>,
    /// The driver's count of frames.
    pub(super) sequence: u32,
    /// The driver says that the data is damaged.
    pub(super) damaged: bool,
    /// How long ago it was captured, if the driver tells it on a clock we know.
    pub(super) age: Option<Duration>,
}

impl Stream {
    /// Maps buffers of type `kind` and starts the camera, which has its format already. Of each plane but the last
    /// `plane_sizes` bytes are taken.
    pub(super) fn start(file: File, kind: u32, plane_sizes: Vec<usize>) -> io::Result<Self> {
        let mut request = RequestBuffers::zeroed();
        (request.count, request.kind, request.memory) = (BUFFERS, kind, sys::MEMORY_MMAP);
        sys::ioctl(&file, sys::REQBUFS, &mut request)?;
        if request.count > MOST_BUFFERS {
            return Err(io::Error::other(format!("the driver has {} buffers instead of {BUFFERS}", request.count)));
        }
        // From here on dropping the stream gives back what it has.
        let mut stream = Self { file, kind, buffers: Vec::new(), plane_sizes };
        for index in 0..request.count {
            let (_, parts) = sys::exchange(&stream.file, sys::QUERYBUF, kind, index)?;
            let map = |part: &Part| Mapping::new(&stream.file, part.length, part.offset);
            let planes = parts.iter().map(map).collect::<io::Result<_>>()?;
            stream.buffers.push(planes);
            sys::exchange(&stream.file, sys::QBUF, kind, index)?;
        }
        sys::ioctl(&stream.file, sys::STREAMON, &mut { kind })?;
        Ok(stream)
    }

    /// The next filled buffer; `None` when there was none until `deadline`. Never waits in the driver, but in
    /// `poll`, so that neither a silent nor an unplugged camera holds it.
    pub(super) fn next(&mut self, deadline: Instant) -> io::Result<Option<Filled>> {
        let mut failed = false;
        loop {
            match self.dequeue() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !failed => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                other => return other.map(Some),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            failed = sys::poll(self.file.as_fd(), left)? == Poll::Failed;
        }
    }

    /// Takes a filled buffer from the driver, copies it and gives it back.
    fn dequeue(&mut self) -> io::Result<Filled> {
        let (buffer, parts) = sys::exchange(&self.file, sys::DQBUF, self.kind, 0)?;
        let planes = self.buffers.get(buffer.index as usize).ok_or(io::ErrorKind::InvalidData)?;
        let damaged = buffer.flags & sys::BUF_FLAG_ERROR != 0 || parts.iter().all(|part| part.used == 0);
        let data = if damaged { Vec::new() } else { gather(planes, &parts, &self.plane_sizes) };
        let monotonic = buffer.flags & sys::BUF_FLAG_TIMESTAMP_MASK == sys::BUF_FLAG_TIMESTAMP_MONOTONIC;
        let age = sys::age(buffer.seconds, buffer.microseconds).filter(|_| monotonic);
        sys::exchange(&self.file, sys::QBUF, self.kind, buffer.index)?;
        Ok(Filled { data, sequence: buffer.sequence, damaged, age })
    }
}

/// The planes of a picture behind one another; too few bytes where one has too few.
fn gather(planes: &[Mapping], parts: &[Part], sizes: &[usize]) -> Vec<u8> {
    let mut data = Vec::new();
    for (index, (plane, part)) in planes.iter().zip(parts).enumerate() {
        let mut bytes = plane.copy(part.used);
        bytes.drain(..part.skip.min(bytes.len()));
        if let Some(&size) = sizes.get(index) {
            if bytes.len() < size {
                break;
            }
            bytes.truncate(size);
        }
        if data.is_empty() {
            data = bytes;
        } else {
            data.extend_from_slice(&bytes);
        }
    }
    data
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The camera may be gone: then there is nothing to stop, and nobody to tell.
        let _ = sys::ioctl(&self.file, sys::STREAMOFF, &mut { self.kind });
        self.buffers.clear();
        let mut request = RequestBuffers::zeroed();
        (request.kind, request.memory) = (self.kind, sys::MEMORY_MMAP);
        let _ = sys::ioctl(&self.file, sys::REQBUFS, &mut request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_put_behind_one_another_without_their_padding() {
        let folder = tempfile::tempdir().unwrap();
        let plane = |value: u8| {
            let path = folder.path().join(value.to_string());
            std::fs::write(&path, [vec![0xee; 3], vec![value; 4093]].concat()).unwrap();
            Mapping::new(&File::options().read(true).write(true).open(&path).unwrap(), 4096, 0).unwrap()
        };
        let part = |used, skip| Part { used, skip, length: 4096, offset: 0 };
        let planes = [plane(1), plane(2)];
        let two = gather(&planes, &[part(103, 3), part(43, 3)], &[90]);
        assert_eq!(two, [vec![1; 90], vec![2; 40]].concat());
        assert_eq!(gather(&planes[..1], &[part(10, 3)], &[]), [1; 7]);
        assert_eq!(gather(&planes, &[part(50, 3), part(43, 3)], &[90]).len(), 0, "the first plane is not whole");
        assert_eq!(gather(&planes, &[part(1, usize::MAX), part(usize::MAX, 0)], &[]).len(), 4096);
    }
}
