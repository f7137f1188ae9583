//! A camera's settings (V4L2, "User Controls").

use super::{Plain, Request};

plain! {
    /// `struct v4l2_queryctrl`.
    struct ControlDescription {
        id: u32,
        kind: u32,
        name: [u8; 32],
        minimum: i32,
        maximum: i32,
        step: i32,
        default: i32,
        flags: u32,
        reserved: [u32; 2],
    }
    /// `struct v4l2_control`.
    struct Control {
        id: u32,
        value: i32,
    }
}

pub(in crate::camera::v4l2) const QUERYCTRL: Request<ControlDescription> = Request::new(3, 36);
pub(in crate::camera::v4l2) const G_CTRL: Request<Control> = Request::new(3, 27);
pub(in crate::camera::v4l2) const S_CTRL: Request<Control> = Request::new(3, 28);

/// `V4L2_CTRL_FLAG_NEXT_CTRL`: the control behind the one asked for.
pub(in crate::camera::v4l2) const NEXT_CTRL: u32 = 0x8000_0000;
/// `V4L2_CTRL_FLAG_DISABLED`.
pub(in crate::camera::v4l2) const DISABLED: u32 = 1;
/// `V4L2_CTRL_FLAG_READ_ONLY`.
pub(in crate::camera::v4l2) const READ_ONLY: u32 = 4;
/// `V4L2_CTRL_TYPE_INTEGER`, `BOOLEAN`, `MENU` and `INTEGER_MENU`: those that are one number.
pub(in crate::camera::v4l2) const NUMBERS: [u32; 4] = [1, 2, 3, 9];

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// What a C compiler prints for `<linux/videodev2.h>`.
    #[test]
    fn layouts_and_numbers_are_the_kernels() {
        assert_eq!((size_of::<ControlDescription>(), size_of::<Control>()), (68, 8));
        assert_eq!((offset_of!(ControlDescription, name), offset_of!(ControlDescription, minimum)), (8, 40));
        assert_eq!(offset_of!(ControlDescription, flags), 56);
        assert_eq!((QUERYCTRL.0, G_CTRL.0, S_CTRL.0), (0xc044_5624, 0xc008_561b, 0xc008_561c));
    }
}
