//! The kernel's side of framebuffers and consoles: structures of `<linux/fb.h>`, requests of `<linux/kd.h>`.
//!
//! Everything `unsafe` of the driver is here; what is offered to the rest is safe.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;

use libc::{c_int, c_ulong};

use super::palette::Palette;

/// `struct fb_bitfield`: where one colour is in a pixel.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bitfield {
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) most_significant_right: u32,
}

/// `struct fb_var_screeninfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Variable {
    pub(super) xres: u32,
    pub(super) yres: u32,
    pub(super) xres_virtual: u32,
    pub(super) yres_virtual: u32,
    pub(super) xoffset: u32,
    pub(super) yoffset: u32,
    pub(super) bits_per_pixel: u32,
    pub(super) grayscale: u32,
    pub(super) red: Bitfield,
    pub(super) green: Bitfield,
    pub(super) blue: Bitfield,
    pub(super) transparent: Bitfield,
    pub(super) rest: [u32; 20],
}

/// `struct fb_fix_screeninfo`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fixed {
    pub(super) id: [u8; 16],
    pub(super) memory_start: c_ulong,
    pub(super) memory_length: u32,
    pub(super) kind: u32,
    pub(super) kind_aux: u32,
    pub(super) visual: u32,
    pub(super) pan_steps: [u16; 3],
    pub(super) line_length: u32,
    pub(super) registers_start: c_ulong,
    pub(super) registers_length: u32,
    pub(super) accelerator: u32,
    pub(super) capabilities: u16,
    pub(super) reserved: [u16; 2],
}

/// `struct fb_cmap`: a palette.
#[repr(C)]
#[derive(Debug)]
struct ColourMap {
    start: u32,
    length: u32,
    red: *mut u16,
    green: *mut u16,
    blue: *mut u16,
    transparent: *mut u16,
}

impl ColourMap {
    fn of(palette: &mut Palette) -> Self {
        let Palette { red, green, blue } = palette;
        let (red, green, blue) = (red.as_mut_ptr(), green.as_mut_ptr(), blue.as_mut_ptr());
        Self { start: 0, length: 256, red, green, blue, transparent: std::ptr::null_mut() }
    }
}

const FBIOGET_VSCREENINFO: c_ulong = 0x4600;
const FBIOGET_FSCREENINFO: c_ulong = 0x4602;
const FBIOGETCMAP: c_ulong = 0x4604;
const FBIOPUTCMAP: c_ulong = 0x4605;
const KDSETMODE: c_ulong = 0x4b3a;
const KDGETMODE: c_ulong = 0x4b3b;

/// `KD_GRAPHICS`: the console writes nothing to the screen.
pub(super) const KD_GRAPHICS: c_int = 1;

fn checked(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a framebuffer is like.
pub(super) fn screen_info(file: &File) -> io::Result<(Variable, Fixed)> {
    let (mut variable, mut fixed) = (Variable::default(), Fixed::default());
    // SAFETY: the descriptor is open; the kernel writes the structure of each request, of integers only.
    unsafe {
        checked(libc::ioctl(file.as_raw_fd(), FBIOGET_VSCREENINFO as libc::Ioctl, &raw mut variable))?;
        checked(libc::ioctl(file.as_raw_fd(), FBIOGET_FSCREENINFO as libc::Ioctl, &raw mut fixed))?;
    }
    Ok((variable, fixed))
}

/// The colours of a framebuffer's pixels.
pub(super) fn palette(file: &File) -> io::Result<Palette> {
    let mut palette = Palette::BLACK;
    let mut map = ColourMap::of(&mut palette);
    // SAFETY: the descriptor is open; the kernel writes at most `length` numbers to each of three arrays that have as many, and which live
    // until after the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), FBIOGETCMAP as libc::Ioctl, &raw mut map) })?;
    Ok(palette)
}

/// Sets them.
pub(super) fn set_palette(file: &File, palette: &Palette) -> io::Result<()> {
    let mut palette = palette.clone();
    let mut map = ColourMap::of(&mut palette);
    // SAFETY: the descriptor is open; the kernel reads `length` numbers of each of three arrays that have as many, and which live until
    // after the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), FBIOPUTCMAP as libc::Ioctl, &raw mut map) })
}

/// What a console shows: `KD_TEXT` (0) or [`KD_GRAPHICS`].
pub(super) fn console_mode(console: &File) -> io::Result<c_int> {
    let mut mode = 0;
    // SAFETY: the descriptor is open; the kernel writes an `int`.
    checked(unsafe { libc::ioctl(console.as_raw_fd(), KDGETMODE as libc::Ioctl, &raw mut mode) })?;
    Ok(mode)
}

/// Sets what a console shows.
pub(super) fn set_console_mode(console: &File, mode: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open; the request takes a number.
    checked(unsafe { libc::ioctl(console.as_raw_fd(), KDSETMODE as libc::Ioctl, c_ulong::from(mode as u32)) })
}

/// A process that sets a console's mode when this one is gone, however it ends.
#[derive(Debug)]
pub(super) struct Guard {
    process: libc::pid_t,
    /// Closed by the system when this process ends.
    _alive: PipeWriter,
}

impl Guard {
    /// Starts one that will set `mode`.
    pub(super) fn start(console: &File, mode: c_int) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: the child calls nothing but what may be called after a fork of a program with threads, see `guard`.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => guard(&reader, console, mode),
            process => Ok(Self { process, _alive: writer }),
        }
    }

    /// Ends it at once: it has set the mode when this returns.
    pub(super) fn end(self) {
        let Self { process, _alive } = self;
        drop(_alive);
        let mut status = 0;
        // SAFETY: the process is a child that nobody else waits for; `status` is an `int` to write.
        while unsafe { libc::waitpid(process, &raw mut status, 0) } < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// The child: waits for the pipe's end, sets the mode, and exits. System calls only: no lock is taken, no memory allocated.
fn guard(reader: &PipeReader, console: &File, mode: c_int) -> ! {
    let (pipe, console) = (reader.as_raw_fd(), console.as_raw_fd());
    // SAFETY: system calls on descriptors that are open; descriptors of the parent's are closed in this process only, where
    // nobody uses them. The buffer is one byte.
    unsafe {
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // The pipe's other end too: its end is to be seen. Cameras and ports of the parent's must not stay open.
        for descriptor in 0..1024 {
            if descriptor != pipe && descriptor != console {
                libc::close(descriptor);
            }
        }
        let mut byte = 0_u8;
        while libc::read(pipe, (&raw mut byte).cast(), 1) != 0 {
            if *libc::__errno_location() != libc::EINTR {
                break;
            }
        }
        libc::ioctl(console, KDSETMODE as libc::Ioctl, c_ulong::from(mode as u32));
        libc::_exit(0)
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Sizes and offsets that a C compiler prints for `<linux/fb.h>`.
    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!((size_of::<Variable>(), size_of::<Fixed>(), size_of::<ColourMap>()), (160, 80, 40));
        assert_eq!((offset_of!(ColourMap, red), offset_of!(ColourMap, transparent)), (8, 32));
        assert_eq!(offset_of!(Fixed, visual), 36);
        assert_eq!((offset_of!(Variable, red), offset_of!(Variable, rest)), (32, 80));
        assert_eq!((offset_of!(Fixed, kind), offset_of!(Fixed, pan_steps)), (28, 40));
        assert_eq!((offset_of!(Fixed, line_length), offset_of!(Fixed, capabilities)), (48, 72));
    }

    #[test]
    fn what_is_no_screen_and_no_console_is_told() {
        let file = File::open("/dev/null").unwrap();
        assert!(screen_info(&file).is_err() && console_mode(&file).is_err());
        assert!(palette(&file).is_err() && set_palette(&file, &Palette::BLACK).is_err());
    }

    #[test]
    fn a_guard_ends_when_told() {
        let file = File::open("/dev/null").unwrap();
        Guard::start(&file, 0).unwrap().end();
    }
}
