//! The kernel's framebuffer device: the screen's memory as a file.
//!
//! Pictures are written, not mapped: drivers that have to send what changed notice a write at once.

use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::console::Silenced;
use super::pixels::{Channel, PixelFormat};
use super::sys::{self, Bitfield, Fixed, Variable};
use super::{Layout, Surface};
use crate::error::{Error, ErrorKind, Result, reason};

/// An open framebuffer.
#[derive(Debug)]
pub(super) struct Framebuffer {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Where the screen's first pixel is.
    start: u64,
    console: Option<Silenced>,
}

impl Framebuffer {
    /// Opens the framebuffer at `path` and silences the console.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if there is none, if this user may not, or if its pixels are of a kind that is not known.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            let what = match error.kind() {
                Io::NotFound => {
                    "it does not exist: is there a screen, and a driver with a framebuffer? drm:// may work".into()
                }
                Io::PermissionDenied => "permission denied: whoever runs this must be in the group video".into(),
                _ if error.raw_os_error() == Some(libc::ENOTTY) => {
                    "it is no framebuffer: fb:///dev/fb0 mostly is".into()
                }
                _ => reason(&error),
            };
            Error::new(ErrorKind::Output, format!("cannot show pictures on {}: {what}", path.display()))
                .caused_by(error)
        };
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        let (variable, fixed) = sys::screen_info(&file).map_err(failed)?;
        let (layout, start) = layout(&variable, &fixed).ok_or_else(|| {
            let bits = variable.bits_per_pixel;
            let message = format!("cannot show pictures on {}: pixels of {bits} bits are not known", path.display());
            Error::new(ErrorKind::Output, message)
        })?;
        Ok(Self { path: path.into(), file, layout, start, console: Silenced::take() })
    }
}

/// The layout, and where the part of the memory begins that is shown; `None` for palettes and the like.
fn layout(variable: &Variable, fixed: &Fixed) -> Option<(Layout, u64)> {
    let channel = |field: Bitfield| Channel { shift: field.offset, bits: field.length };
    let format = PixelFormat {
        bytes: (variable.bits_per_pixel / 8) as usize,
        red: channel(variable.red),
        green: channel(variable.green),
        blue: channel(variable.blue),
    };
    let (width, height, stride) = (variable.xres, variable.yres, fixed.line_length as usize);
    let mirrored = [variable.red, variable.green, variable.blue].iter().any(|field| field.most_significant_right != 0);
    let whole =
        variable.bits_per_pixel.is_multiple_of(8) && width > 0 && height > 0 && stride >= width as usize * format.bytes;
    let start = u64::from(variable.yoffset) * stride as u64 + u64::from(variable.xoffset) * format.bytes as u64;
    (format.is_sound() && whole && !mirrored).then_some((Layout { width, height, stride, format }, start))
}

impl Surface for Framebuffer {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn show(&mut self, contents: &[u8]) -> Result<()> {
        // The last row ends with its last pixel: what follows may be beyond the memory.
        let Layout { width, height, stride, format } = self.layout;
        let end = (height as usize - 1) * stride + width as usize * format.bytes;
        self.file.write_all_at(&contents[..end], self.start).map_err(|error| {
            let message = format!("cannot show a picture on {}: {}", self.path.display(), reason(&error));
            Error::new(ErrorKind::Output, message).caused_by(error)
        })
    }

    fn release(&mut self) -> Result<()> {
        self.console = None;
        Ok(())
    }

    fn describe(&self) -> String {
        let console = if self.console.is_some() { "" } else { ", the console may write over it" };
        format!("{}{console}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32, stride: u32) -> (Variable, Fixed) {
        let field = |offset| Bitfield { offset, length: 8, most_significant_right: 0 };
        let variable = Variable {
            xres: width,
            yres: height,
            bits_per_pixel: 32,
            red: field(16),
            green: field(8),
            blue: field(0),
            ..Variable::default()
        };
        (variable, Fixed { line_length: stride, ..Fixed::default() })
    }

    #[test]
    fn layouts_are_read() {
        let (mut variable, fixed) = info(100, 50, 512);
        let expected = Layout { width: 100, height: 50, stride: 512, format: PixelFormat::XRGB8888 };
        assert_eq!(layout(&variable, &fixed), Some((expected, 0)));
        (variable.xoffset, variable.yoffset) = (3, 50);
        assert_eq!(layout(&variable, &fixed).unwrap().1, 50 * 512 + 12);
        let (no_rows, fixed) = info(100, 0, 512);
        assert_eq!(layout(&no_rows, &fixed), None);
        let (variable, fixed) = info(100, 50, 399);
        assert_eq!(layout(&variable, &fixed), None);
        let (mut palette, fixed) = info(100, 50, 512);
        palette.bits_per_pixel = 8;
        assert_eq!(layout(&palette, &fixed), None);
    }

    #[test]
    fn contents_are_written_where_the_screen_is() {
        let file = tempfile::tempfile().unwrap();
        let (mut variable, fixed) = info(2, 2, 16);
        variable.yoffset = 2;
        let (layout, start) = layout(&variable, &fixed).unwrap();
        let mut screen = Framebuffer { path: "screen".into(), file, layout, start, console: None };
        screen.show(&[7; 32]).unwrap();
        let mut bytes = [9; 56];
        screen.file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((bytes[..32].to_vec(), bytes[32..].to_vec()), (vec![0; 32], vec![7; 24]));
        assert_eq!(screen.file.metadata().unwrap().len(), 56, "nothing beyond the last pixel");
    }

    #[test]
    fn what_is_no_framebuffer_is_refused() {
        for (path, expected) in [("/dev/no-such-fb", "does not exist"), ("/dev/null", "is no framebuffer")] {
            let error = Framebuffer::open(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
