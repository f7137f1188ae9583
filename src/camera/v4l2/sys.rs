//! The kernel's side of Video4Linux2: structures of `<linux/videodev2.h>`, `ioctl`, `mmap`, `poll` and the clock.
//!
//! Everything `unsafe` of the driver is here; what is offered to the rest is safe. Layouts and numbers are those of
//! the "generic" ABI (x86, Arm, RISC-V), 32 and 64 bits; on 32 bits the buffer's time stamp has 32-bit seconds, which
//! every kernel understands whatever the C library's `time_t` is.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::time::Duration;

use libc::c_long;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`.
pub(super) const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
/// `V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE`.
pub(super) const BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
/// `V4L2_MEMORY_MMAP`.
pub(super) const MEMORY_MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`: whole frames, not interlaced.
pub(super) const FIELD_NONE: u32 = 1;
/// `V4L2_CAP_VIDEO_CAPTURE`.
pub(super) const CAP_VIDEO_CAPTURE: u32 = 0x1;
/// `V4L2_CAP_VIDEO_CAPTURE_MPLANE`.
pub(super) const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
/// `V4L2_CAP_STREAMING`.
pub(super) const CAP_STREAMING: u32 = 0x0400_0000;
/// `V4L2_CAP_DEVICE_CAPS`.
pub(super) const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// `V4L2_BUF_FLAG_ERROR`: the frame is damaged.
pub(super) const BUF_FLAG_ERROR: u32 = 0x40;
/// `V4L2_BUF_FLAG_TIMESTAMP_MASK`.
pub(super) const BUF_FLAG_TIMESTAMP_MASK: u32 = 0xe000;
/// `V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC`.
pub(super) const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x2000;
/// `V4L2_CAP_TIMEPERFRAME`: the frame interval can be set.
pub(super) const CAP_TIMEPERFRAME: u32 = 0x1000;
/// `V4L2_FRMSIZE_TYPE_DISCRETE`, and the same of frame intervals; 2 is continuous, 3 stepwise.
pub(super) const TYPE_DISCRETE: u32 = 1;

/// A structure of the kernel's that holds integers only, so that all bits zero, and whatever the kernel writes, is a
/// value of it.
///
/// # Safety
/// Only for `repr(C)` types whose fields are integers, arrays of them, or such types.
pub(super) unsafe trait Plain: Copy {
    /// All bits zero.
    fn zeroed() -> Self {
        // SAFETY: the trait's contract: every bit pattern is a value.
        unsafe { std::mem::zeroed() }
    }
}

/// Declares structures of integers, in C layout.
macro_rules! plain {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub(in crate::camera::v4l2) struct $name { $($(#[$attr])* pub(in crate::camera::v4l2) $field: $type,)* }
        // SAFETY: declared below from integers, arrays of integers and structures declared here only.
        unsafe impl Plain for $name {}
    )*};
}

mod controls;
mod planes;

pub(super) use controls::{
    Control, ControlDescription, DISABLED, G_CTRL, NEXT_CTRL, NUMBERS, QUERYCTRL, READ_ONLY, S_CTRL,
};
pub(super) use planes::{FormatOfPlanes, Part, S_FMT_OF_PLANES, exchange};

// SAFETY: an integer.
unsafe impl Plain for u32 {}

plain! {
    /// `struct v4l2_capability`.
    struct Capability {
        driver: [u8; 16],
        card: [u8; 32],
        bus_info: [u8; 32],
        version: u32,
        capabilities: u32,
        device_caps: u32,
        reserved: [u32; 3],
    }
    /// `struct v4l2_fmtdesc`.
    struct FormatDescription {
        index: u32,
        kind: u32,
        flags: u32,
        description: [u8; 32],
        fourcc: [u8; 4],
        mbus_code: u32,
        reserved: [u32; 3],
    }
    /// `struct v4l2_fract`: seconds from one frame to the next.
    struct Fraction {
        numerator: u32,
        denominator: u32,
    }
    /// `struct v4l2_frmsizeenum`; a discrete size is the first two of the six.
    struct FrameSize {
        index: u32,
        fourcc: [u8; 4],
        kind: u32,
        /// Width and height, or smallest, largest and step of width, then of height.
        size: [u32; 6],
        reserved: [u32; 2],
    }
    /// `struct v4l2_frmivalenum`; a discrete interval is the first of the three.
    struct FrameInterval {
        index: u32,
        fourcc: [u8; 4],
        width: u32,
        height: u32,
        kind: u32,
        /// The interval, or shortest, longest and step.
        interval: [Fraction; 3],
        reserved: [u32; 2],
    }
    /// `struct v4l2_pix_format`.
    struct PixelLayout {
        width: u32,
        height: u32,
        fourcc: [u8; 4],
        field: u32,
        bytesperline: u32,
        sizeimage: u32,
        colorspace: u32,
        private: u32,
        flags: u32,
        ycbcr_enc: u32,
        quantization: u32,
        xfer_func: u32,
    }
    /// `struct v4l2_format`, with the union's member for capture.
    struct Format {
        kind: u32,
        // The union holds pointers in another member, and is aligned as they are.
        #[cfg(target_pointer_width = "64")]
        padding: u32,
        pix: PixelLayout,
        rest: [u8; 152],
    }
    /// `struct v4l2_streamparm`, with the union's member for capture.
    struct StreamParameters {
        kind: u32,
        capability: u32,
        capturemode: u32,
        timeperframe: Fraction,
        extendedmode: u32,
        readbuffers: u32,
        rest: [u8; 176],
    }
    /// `struct v4l2_requestbuffers`.
    struct RequestBuffers {
        count: u32,
        kind: u32,
        memory: u32,
        capabilities: u32,
        flags_and_reserved: u32,
    }
}

/// `struct v4l2_buffer`. Where there are several planes the kernel takes `place` for an address: only `exchange` sets it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    pub(super) index: u32,
    kind: u32,
    pub(super) bytesused: u32,
    pub(super) flags: u32,
    field: u32,
    pub(super) seconds: c_long,
    pub(super) microseconds: c_long,
    timecode: [u32; 4],
    pub(super) sequence: u32,
    memory: u32,
    /// Where to map it, or where its planes are described; a union.
    place: usize,
    length: u32,
    reserved2: u32,
    request_fd: u32,
}
// SAFETY: integers and an array of them.
unsafe impl Plain for Buffer {}

// The two structures whose size depends on the target's word.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Format>() == 208 && size_of::<Buffer>() == 88);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<Format>() == 204 && size_of::<Buffer>() == 68);

/// An ioctl and the structure it takes.
#[derive(Debug)]
pub(super) struct Request<T>(u32, PhantomData<T>);

impl<T: Plain> Request<T> {
    /// `_IOC(direction, 'V', number, sizeof(T))`; direction 1 is write, 2 read, 3 both.
    const fn new(direction: u32, number: u32) -> Self {
        Self(direction << 30 | (size_of::<T>() as u32) << 16 | (b'V' as u32) << 8 | number, PhantomData)
    }
}

pub(super) const QUERYCAP: Request<Capability> = Request::new(2, 0);
pub(super) const ENUM_FMT: Request<FormatDescription> = Request::new(3, 2);
pub(super) const S_FMT: Request<Format> = Request::new(3, 5);
pub(super) const REQBUFS: Request<RequestBuffers> = Request::new(3, 8);
pub(super) const QUERYBUF: Request<Buffer> = Request::new(3, 9);
pub(super) const QBUF: Request<Buffer> = Request::new(3, 15);
pub(super) const DQBUF: Request<Buffer> = Request::new(3, 17);
pub(super) const STREAMON: Request<u32> = Request::new(1, 18);
pub(super) const STREAMOFF: Request<u32> = Request::new(1, 19);
pub(super) const G_PARM: Request<StreamParameters> = Request::new(3, 21);
pub(super) const S_PARM: Request<StreamParameters> = Request::new(3, 22);
pub(super) const ENUM_FRAMESIZES: Request<FrameSize> = Request::new(3, 74);
pub(super) const ENUM_FRAMEINTERVALS: Request<FrameInterval> = Request::new(3, 75);

/// Does an ioctl, again after a signal. A driver that is interrupted without end has failed.
pub(super) fn ioctl<T: Plain>(file: &File, request: Request<T>, argument: &mut T) -> io::Result<()> {
    const MOST_SIGNALS: u32 = 1000;
    let mut signals = 0;
    loop {
        // SAFETY: the descriptor is open; the kernel reads and writes `size_of::<T>()` bytes at most, as that size is
        // part of the request's number, and any bytes are a value of `T`. Buffers are mapped by the kernel
        // (`MEMORY_MMAP`), so that no field is an address, but for `Buffer::place` of several planes: `exchange` sets it to
        // an array that it holds until this returns.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), request.0 as libc::Ioctl, ptr::from_mut(argument)) };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        signals += 1;
        if error.kind() != io::ErrorKind::Interrupted || signals == MOST_SIGNALS {
            return Err(error);
        }
    }
}

/// What became of waiting for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poll {
    /// A buffer is filled.
    Ready,
    /// The device is gone or has failed.
    Failed,
    /// Nothing within the time, or a signal came.
    Nothing,
}

/// Waits until a frame can be taken, `timeout` at most.
pub(super) fn poll(file: BorrowedFd<'_>, timeout: Duration) -> io::Result<Poll> {
    let milliseconds = timeout.as_millis().clamp(1, i32::MAX as u128) as i32;
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one `pollfd` is passed, and 1 is its count.
    let result = unsafe { libc::poll(&mut wanted, 1, milliseconds) };
    match result {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Poll::Nothing),
            error => Err(error),
        },
        0 => Ok(Poll::Nothing),
        _ if wanted.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 => Ok(Poll::Failed),
        _ => Ok(Poll::Ready),
    }
}

/// How long ago a moment of `CLOCK_MONOTONIC` was; zero for the future.
pub(super) fn age(seconds: c_long, microseconds: c_long) -> Option<Duration> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a `timespec` the call may write.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) } != 0 {
        return None;
    }
    let now = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
    let then = Duration::from_secs(seconds.try_into().ok()?)
        .checked_add(Duration::from_micros(microseconds.try_into().ok()?))?;
    Some(now.saturating_sub(then))
}

/// A buffer of the driver's, mapped into memory until it is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    address: NonNull<libc::c_void>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of the device at `offset`.
    pub(super) fn new(file: &File, length: usize, offset: u32) -> io::Result<Self> {
        #[allow(clippy::unnecessary_fallible_conversions)] // `off_t` has 32 bits on some targets.
        let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so that nothing else is replaced; it checks length and offset.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), offset) };
        match NonNull::new(address) {
            Some(address) if address.as_ptr() != libc::MAP_FAILED => {
                // A process forked from this one would hold the device by its copy of the mapping, after this one closed it.
                // SAFETY: exactly what `mmap` returned.
                unsafe { libc::madvise(address.as_ptr(), length, libc::MADV_DONTFORK) };
                Ok(Self { address, length })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A copy of the first `length` bytes, as many as there are.
    ///
    /// To be called between taking the buffer from the driver and giving it back: else the driver may write to it
    /// meanwhile, and the copy is of two frames.
    pub(super) fn copy(&self, length: usize) -> Vec<u8> {
        let length = length.min(self.length);
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: `address` is readable for `self.length` bytes until drop; the vector has room for `length` of them
        // and is elsewhere. A copy by address, as a slice would promise that nobody else writes.
        unsafe {
            ptr::copy_nonoverlapping(self.address.as_ptr().cast::<u8>(), bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` returned, unmapped once; no reference into it exists, as `copy` gives none out.
        unsafe { libc::munmap(self.address.as_ptr(), self.length) };
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::offset_of;
    use std::os::fd::AsFd;

    use super::*;

    /// Sizes, offsets and numbers that a C compiler prints for `<linux/videodev2.h>` on x86-64.
    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!(size_of::<Capability>(), 104);
        assert_eq!(size_of::<FormatDescription>(), 64);
        assert_eq!(size_of::<FrameSize>(), 44);
        assert_eq!(size_of::<FrameInterval>(), 52);
        assert_eq!(size_of::<PixelLayout>(), 48);
        assert_eq!(size_of::<Format>(), 208);
        assert_eq!(size_of::<StreamParameters>(), 204);
        assert_eq!(size_of::<RequestBuffers>(), 20);
        assert_eq!(size_of::<Buffer>(), 88);
        assert_eq!((offset_of!(Capability, capabilities), offset_of!(Capability, device_caps)), (84, 88));
        assert_eq!((offset_of!(FormatDescription, flags), offset_of!(FormatDescription, fourcc)), (8, 44));
        assert_eq!(offset_of!(FrameSize, size), 12);
        assert_eq!((offset_of!(FrameInterval, width), offset_of!(FrameInterval, interval)), (8, 20));
        assert_eq!(offset_of!(Format, pix), 8);
        assert_eq!((offset_of!(PixelLayout, bytesperline), offset_of!(PixelLayout, sizeimage)), (16, 20));
        assert_eq!((offset_of!(PixelLayout, colorspace), offset_of!(PixelLayout, xfer_func)), (24, 44));
        assert_eq!(offset_of!(StreamParameters, timeperframe), 4 + 8);
        assert_eq!((offset_of!(Buffer, bytesused), offset_of!(Buffer, flags)), (8, 12));
        assert_eq!((offset_of!(Buffer, seconds), offset_of!(Buffer, timecode)), (24, 40));
        assert_eq!((offset_of!(Buffer, sequence), offset_of!(Buffer, memory)), (56, 60));
        assert_eq!((offset_of!(Buffer, place), offset_of!(Buffer, length)), (64, 72));
    }

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(QUERYCAP.0, 0x8068_5600);
        assert_eq!(ENUM_FMT.0, 0xc040_5602);
        assert_eq!(S_FMT.0, 0xc0d0_5605);
        assert_eq!(REQBUFS.0, 0xc014_5608);
        assert_eq!(QUERYBUF.0, 0xc058_5609);
        assert_eq!(QBUF.0, 0xc058_560f);
        assert_eq!(DQBUF.0, 0xc058_5611);
        assert_eq!(STREAMON.0, 0x4004_5612);
        assert_eq!(STREAMOFF.0, 0x4004_5613);
        assert_eq!(G_PARM.0, 0xc0cc_5615);
        assert_eq!(S_PARM.0, 0xc0cc_5616);
        assert_eq!(ENUM_FRAMESIZES.0, 0xc02c_564a);
        assert_eq!(ENUM_FRAMEINTERVALS.0, 0xc034_564b);
    }

    #[test]
    fn age_is_counted_on_the_monotonic_clock() {
        let uptime = age(0, 0).unwrap();
        assert!(uptime > Duration::ZERO);
        let second_ago = uptime - Duration::from_secs(1).min(uptime);
        let measured = age(second_ago.as_secs() as c_long, second_ago.subsec_micros().into()).unwrap();
        assert!(measured >= Duration::from_secs(1).min(uptime) && measured < Duration::from_secs(20));
        assert_eq!(age(c_long::MAX, 0).unwrap(), Duration::ZERO);
        assert_eq!(age(-1, 0), None);
    }

    #[test]
    fn a_mapping_is_copied_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("buffer");
        std::fs::write(&path, [7; 4096]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mapping = Mapping::new(&file, 4096, 0).unwrap();
        assert_eq!((mapping.copy(3), mapping.copy(usize::MAX).len()), (vec![7; 3], 4096));
        assert!(Mapping::new(&file, 0, 0).is_err());
        assert_eq!(poll(file.as_fd(), Duration::from_millis(1)).unwrap(), Poll::Ready, "files always are");
    }
}
