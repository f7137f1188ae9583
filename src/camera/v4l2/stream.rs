//! Streaming through buffers that driver and program share (V4L2, "Streaming I/O (Memory Mapping)").

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::sys::{self, Buffer, Mapping, Plain, Poll, RequestBuffers};

/// Buffers to ask for: one that is being filled, one that is filled, one that is being copied, one to spare.
const BUFFERS: u32 = 4;
/// As many as a driver may have, which gives at least as many as it needs (`VIDEO_MAX_FRAME`).
const MOST_BUFFERS: u32 = 32;

/// A running stream. Dropping it stops the camera and gives the buffers back.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    buffers: Vec<Mapping>,
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
    /// Maps buffers and starts the camera, which has its format already.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let mut request = RequestBuffers::zeroed();
        (request.count, request.kind, request.memory) = (BUFFERS, sys::BUF_TYPE_VIDEO_CAPTURE, sys::MEMORY_MMAP);
        sys::ioctl(&file, sys::REQBUFS, &mut request)?;
        if request.count > MOST_BUFFERS {
            return Err(io::Error::other(format!("the driver has {} buffers instead of {BUFFERS}", request.count)));
        }
        // From here on dropping the stream gives back what it has.
        let mut stream = Self { file, buffers: Vec::new() };
        for index in 0..request.count {
            let mut buffer = stream.buffer();
            buffer.index = index;
            sys::ioctl(&stream.file, sys::QUERYBUF, &mut buffer)?;
            stream.buffers.push(Mapping::new(&stream.file, buffer.length as usize, buffer.offset)?);
            stream.queue(index)?;
        }
        sys::ioctl(&stream.file, sys::STREAMON, &mut { sys::BUF_TYPE_VIDEO_CAPTURE })?;
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
        let mut buffer = self.buffer();
        sys::ioctl(&self.file, sys::DQBUF, &mut buffer)?;
        let mapping = self.buffers.get(buffer.index as usize).ok_or(io::ErrorKind::InvalidData)?;
        let damaged = buffer.flags & sys::BUF_FLAG_ERROR != 0 || buffer.bytesused == 0;
        let data = if damaged { Vec::new() } else { mapping.copy(buffer.bytesused as usize) };
        let monotonic = buffer.flags & sys::BUF_FLAG_TIMESTAMP_MASK == sys::BUF_FLAG_TIMESTAMP_MONOTONIC;
        let age = sys::age(buffer.seconds, buffer.microseconds).filter(|_| monotonic);
        self.queue(buffer.index)?;
        Ok(Filled { data, sequence: buffer.sequence, damaged, age })
    }

    fn queue(&self, index: u32) -> io::Result<()> {
        let mut buffer = self.buffer();
        buffer.index = index;
        sys::ioctl(&self.file, sys::QBUF, &mut buffer)
    }

    fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::zeroed();
        (buffer.kind, buffer.memory) = (sys::BUF_TYPE_VIDEO_CAPTURE, sys::MEMORY_MMAP);
        buffer
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The camera may be gone: then there is nothing to stop, and nobody to tell.
        let _ = sys::ioctl(&self.file, sys::STREAMOFF, &mut { sys::BUF_TYPE_VIDEO_CAPTURE });
        self.buffers.clear();
        let mut request = RequestBuffers::zeroed();
        (request.kind, request.memory) = (sys::BUF_TYPE_VIDEO_CAPTURE, sys::MEMORY_MMAP);
        let _ = sys::ioctl(&self.file, sys::REQBUFS, &mut request);
    }
}
