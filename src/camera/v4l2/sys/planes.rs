//! Buffers of one plane or several (V4L2, "Single- and multi-planar APIs").

use std::fs::File;
use std::io;

use super::{BUF_TYPE_VIDEO_CAPTURE_MPLANE, Buffer, MEMORY_MMAP, Plain, Request, ioctl};

/// `VIDEO_MAX_PLANES`.
const MOST_PLANES: usize = 8;

plain! {
    /// `struct v4l2_plane`.
    struct Plane {
        bytesused: u32,
        length: u32,
        /// Where to map it; a union that holds addresses in other members.
        place: usize,
        data_offset: u32,
        reserved: [u32; 11],
    }
    /// `struct v4l2_plane_pix_format`.
    struct PlaneLayout {
        sizeimage: u32,
        bytesperline: u32,
        reserved: [u16; 6],
    }
    /// `struct v4l2_format`, with the union's member for capture in several planes.
    struct FormatOfPlanes {
        kind: u32,
        #[cfg(target_pointer_width = "64")]
        padding: u32,
        width: u32,
        height: u32,
        fourcc: [u8; 4],
        field: u32,
        colorspace: u32,
        planes: [PlaneLayout; 8],
        num_planes: u8,
        rest: [u8; 19],
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<FormatOfPlanes>() == 208 && size_of::<Plane>() == 64);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<FormatOfPlanes>() == 204 && size_of::<Plane>() == 60);

pub(in crate::camera::v4l2) const S_FMT_OF_PLANES: Request<FormatOfPlanes> = Request::new(3, 5);

/// What a driver says of one plane of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::camera::v4l2) struct Part {
    /// Bytes that are filled, with those to skip.
    pub(in crate::camera::v4l2) used: usize,
    /// Bytes in front that are no picture.
    pub(in crate::camera::v4l2) skip: usize,
    /// Bytes that it has.
    pub(in crate::camera::v4l2) length: usize,
    /// Where to map it.
    pub(in crate::camera::v4l2) offset: u32,
}

/// Does `QUERYBUF`, `QBUF` or `DQBUF` with a buffer of this type; returns what the driver made of it.
pub(in crate::camera::v4l2) fn exchange(
    file: &File,
    request: Request<Buffer>,
    kind: u32,
    index: u32,
) -> io::Result<(Buffer, Vec<Part>)> {
    let mut buffer = Buffer { index, kind, memory: MEMORY_MMAP, ..Buffer::zeroed() };
    if kind != BUF_TYPE_VIDEO_CAPTURE_MPLANE {
        ioctl(file, request, &mut buffer)?;
        let (used, length) = (buffer.bytesused as usize, buffer.length as usize);
        return Ok((buffer, vec![Part { used, skip: 0, length, offset: mapping_offset(buffer.place) }]));
    }
    let mut planes = [Plane::zeroed(); MOST_PLANES];
    // The kernel reads and writes as many planes as `length` says behind the address, during the call only.
    (buffer.place, buffer.length) = (planes.as_mut_ptr().expose_provenance(), MOST_PLANES as u32);
    let done = ioctl(file, request, &mut buffer);
    buffer.place = 0;
    done?;
    let part = |plane: &Plane| Part {
        used: plane.bytesused as usize,
        skip: plane.data_offset as usize,
        length: plane.length as usize,
        offset: mapping_offset(plane.place),
    };
    Ok((buffer, planes.iter().take(buffer.length as usize).map(part).collect()))
}

/// The 32-bit member of the union that `place` is.
fn mapping_offset(place: usize) -> u32 {
    if cfg!(target_endian = "big") && cfg!(target_pointer_width = "64") {
        (place as u64 >> 32) as u32
    } else {
        place as u32
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Sizes and offsets that a C compiler prints for `<linux/videodev2.h>` on x86-64.
    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!((size_of::<Plane>(), size_of::<PlaneLayout>(), size_of::<FormatOfPlanes>()), (64, 20, 208));
        assert_eq!((offset_of!(Plane, place), offset_of!(Plane, data_offset)), (8, 16));
        assert_eq!((offset_of!(FormatOfPlanes, width), offset_of!(FormatOfPlanes, planes)), (8, 8 + 20));
        assert_eq!(offset_of!(FormatOfPlanes, num_planes), 8 + 180);
    }

    #[test]
    fn what_is_no_device_has_no_buffers() {
        let file = File::open("/dev/null").unwrap();
        for kind in [super::super::BUF_TYPE_VIDEO_CAPTURE, BUF_TYPE_VIDEO_CAPTURE_MPLANE] {
            let error = exchange(&file, super::super::QUERYBUF, kind, 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        }
    }
}
