//! The kernel's framebuffer device: the screen's memory as a file.
//!
//! Pictures are written, not mapped: drivers that have to send what changed notice a write at once.

use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::console::Silenced;
use super::format::Format;
use super::palette::Palette;
use super::pixels::{Channel, PixelFormat};
use super::sys::{self, Bitfield, Fixed, Variable};
use super::{Layout, Surface};
use crate::error::{Error, ErrorKind, Result, reason};

/// Values of `visual`.
const MONO01: u32 = 0;
const MONO10: u32 = 1;
const TRUECOLOR: u32 = 2;
const PSEUDOCOLOR: u32 = 3;
const DIRECTCOLOR: u32 = 4;
const STATIC_PSEUDOCOLOR: u32 = 5;

/// An open framebuffer.
#[derive(Debug)]
pub(super) struct Framebuffer {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Where the screen's first pixel is.
    start: u64,
    /// The palette that was replaced.
    before: Option<Palette>,
    console: Option<Silenced>,
}

/// The palette of a device.
trait Colours {
    fn palette(&self) -> io::Result<Palette>;

    fn set_palette(&self, palette: &Palette) -> io::Result<()>;
}

impl Colours for File {
    fn palette(&self) -> io::Result<Palette> {
        sys::palette(self)
    }

    fn set_palette(&self, palette: &Palette) -> io::Result<()> {
        sys::set_palette(self, palette)
    }
}

impl Framebuffer {
    /// Opens the framebuffer at `path`, silences the console, and sets a palette where there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if there is none, if this user may not, or if its pixels are of a kind that is not known.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let cannot =
            |what: &str| Error::new(ErrorKind::Output, format!("cannot show pictures on {}: {what}", path.display()));
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
            cannot(&what).caused_by(error)
        };
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        let (variable, fixed) = sys::screen_info(&file).map_err(failed)?;
        // Before the palette: the console would set its own when it is silenced.
        let console = Silenced::take();
        let (format, before) = format(&variable, &fixed, &file).map_err(|what| cannot(&what))?;
        let placed = layout(&variable, &fixed, format).ok_or_else(|| cannot("its rows are shorter than its pixels"));
        let (layout, start) = placed.inspect_err(|_| put_back(&file, before.as_ref()))?;
        Ok(Self { path: path.into(), file, layout, start, before, console })
    }
}

fn put_back(device: &impl Colours, before: Option<&Palette>) {
    if let Some(before) = before {
        // The console sets its own when it comes back.
        let _ = device.set_palette(before);
    }
}

/// How pixels are stored, and the palette that was there before one was set for that. The error says what is not known.
fn format(
    variable: &Variable,
    fixed: &Fixed,
    device: &impl Colours,
) -> std::result::Result<(Format, Option<Palette>), String> {
    let bits = variable.bits_per_pixel;
    let mirrored = [variable.red, variable.green, variable.blue].iter().any(|field| field.most_significant_right != 0);
    if fixed.kind != 0 {
        return Err(format!("memory of type {} (planes, text) is not known: only packed pixels are", fixed.kind));
    }
    if mirrored {
        return Err(format!("pixels of {bits} bits with the highest at the right are not known"));
    }
    if variable.grayscale > 1 {
        return Err(format!("pixels of the kind 0x{:08x} (FourCC) are not known", variable.grayscale));
    }
    match (bits, fixed.visual) {
        (1, MONO01 | MONO10) => Ok((Format::Bits { white: fixed.visual == MONO10 }, None)),
        (8, PSEUDOCOLOR | STATIC_PSEUDOCOLOR) => palette(variable, fixed, device),
        // Where colours have no place in it, a byte is a shade of grey.
        (8, TRUECOLOR) if variable.grayscale == 1 => Ok((Format::Grey(same()), None)),
        (8 | 16 | 24 | 32, TRUECOLOR | DIRECTCOLOR) => {
            let channel = |field: Bitfield| Channel { shift: field.offset, bits: field.length };
            let (red, green, blue) = (channel(variable.red), channel(variable.green), channel(variable.blue));
            let format = PixelFormat { bytes: (bits / 8) as usize, red, green, blue };
            let unsound =
                || format!("pixels of {bits} bits with colours at {red:?}, {green:?}, {blue:?} are not known");
            format.is_sound().then_some((Format::Colours(format), None)).ok_or_else(unsound)
        }
        (_, visual) => {
            Err(format!("pixels of {bits} bits (visual {visual}) are not known: 1, 8, 16, 24 and 32 bits are"))
        }
    }
}

/// For pixels that are numbers of colours: of those that are set here, or of those that are there where they are fixed.
fn palette(
    variable: &Variable,
    fixed: &Fixed,
    device: &impl Colours,
) -> std::result::Result<(Format, Option<Palette>), String> {
    let unreadable = |error: io::Error| format!("the colours of its pixels cannot be read: {}", reason(&error));
    let grey = variable.grayscale == 1;
    if grey && fixed.visual == STATIC_PSEUDOCOLOR {
        return Ok((Format::Grey(same()), None));
    }
    let before = device.palette().map_err(unreadable)?;
    let wanted = if grey { Palette::greys() } else { Palette::colours() };
    let set = fixed.visual == PSEUDOCOLOR && device.set_palette(&wanted).is_ok();
    let format = match (set, grey || !set && before.is_grey()) {
        (true, true) => Format::Grey(same()),
        (true, false) => Format::Palette(same()),
        (false, true) => Format::Grey(before.nearest(&Palette::greys())),
        (false, false) => Format::Palette(before.nearest(&Palette::colours())),
    };
    Ok((format, set.then_some(before)))
}

/// Each number as it is.
fn same() -> Arc<[u8; 256]> {
    Arc::new(std::array::from_fn(|number| number as u8))
}

/// The layout, and where the part of the memory begins that is shown; `None` where pixels do not fit their rows.
fn layout(variable: &Variable, fixed: &Fixed, format: Format) -> Option<(Layout, u64)> {
    let (width, height, stride) = (variable.xres, variable.yres, fixed.line_length as usize);
    let before = u64::from(variable.xoffset) * format.bits() as u64;
    let layout = Layout { width, height, stride, format };
    let whole = before.is_multiple_of(8) && width > 0 && height > 0 && stride >= row_bytes(&layout);
    whole.then(|| (layout, u64::from(variable.yoffset) * stride as u64 + before / 8))
}

/// Bytes of a row that are shown.
fn row_bytes(layout: &Layout) -> usize {
    (layout.width as usize * layout.format.bits()).div_ceil(8)
}

impl Surface for Framebuffer {
    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn show(&mut self, contents: &[u8]) -> Result<()> {
        // The last row ends with its last pixel: what follows may be beyond the memory.
        let end = (self.layout.height as usize - 1) * self.layout.stride + row_bytes(&self.layout);
        self.file.write_all_at(&contents[..end], self.start).map_err(|error| {
            let message = format!("cannot show a picture on {}: {}", self.path.display(), reason(&error));
            Error::new(ErrorKind::Output, message).caused_by(error)
        })
    }

    fn release(&mut self) -> Result<()> {
        put_back(&self.file, self.before.take().as_ref());
        self.console = None;
        Ok(())
    }

    fn describe(&self) -> String {
        let console = if self.console.is_some() { "" } else { ", the console may write over it" };
        format!("{}{console}", self.path.display())
    }
}

impl Drop for Framebuffer {
    fn drop(&mut self) {
        put_back(&self.file, self.before.take().as_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A device with a palette, which may be fixed.
    struct Fake {
        palette: RefCell<Palette>,
        fixed: bool,
    }

    impl Colours for Fake {
        fn palette(&self) -> io::Result<Palette> {
            Ok(self.palette.borrow().clone())
        }

        fn set_palette(&self, palette: &Palette) -> io::Result<()> {
            if self.fixed {
                return Err(Io::InvalidInput.into());
            }
            self.palette.replace(palette.clone());
            Ok(())
        }
    }

    fn fake(palette: Palette, fixed: bool) -> Fake {
        Fake { palette: RefCell::new(palette), fixed }
    }

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
        (variable, Fixed { line_length: stride, visual: TRUECOLOR, ..Fixed::default() })
    }

    /// `bits` a pixel, of a kind.
    fn kind(bits: u32, visual: u32, grayscale: u32) -> (Variable, Fixed) {
        let (variable, fixed) = info(10, 5, 64);
        (Variable { bits_per_pixel: bits, grayscale, ..variable }, Fixed { visual, ..fixed })
    }

    #[test]
    fn layouts_are_read() {
        let format = Format::Colours(PixelFormat::XRGB8888);
        let (mut variable, fixed) = info(100, 50, 512);
        let expected = Layout { width: 100, height: 50, stride: 512, format: format.clone() };
        assert_eq!(super::format(&variable, &fixed, &fake(Palette::BLACK, true)), Ok((format.clone(), None)));
        assert_eq!(layout(&variable, &fixed, format.clone()), Some((expected, 0)));
        (variable.xoffset, variable.yoffset) = (3, 50);
        assert_eq!(layout(&variable, &fixed, format.clone()).unwrap().1, 50 * 512 + 12);
        let (no_rows, fixed) = info(100, 0, 512);
        assert_eq!(layout(&no_rows, &fixed, format.clone()), None);
        let (variable, fixed) = info(100, 50, 399);
        assert_eq!(layout(&variable, &fixed, format), None);
        // 100 pixels of a bit are 13 bytes; a screen that begins within a byte is none that can be written to.
        let bits = Format::Bits { white: true };
        assert!(layout(&variable, &Fixed { line_length: 13, ..fixed }, bits.clone()).is_some());
        assert_eq!(layout(&variable, &Fixed { line_length: 12, ..fixed }, bits.clone()), None);
        assert_eq!(layout(&Variable { xoffset: 16, ..variable }, &fixed, bits.clone()).unwrap().1, 2);
        assert_eq!(layout(&Variable { xoffset: 4, ..variable }, &fixed, bits), None);
    }

    #[test]
    fn kinds_of_pixels_are_told_apart() {
        let found = |bits, visual, grayscale, device: &Fake| {
            let (variable, fixed) = kind(bits, visual, grayscale);
            format(&variable, &fixed, device).unwrap()
        };
        let device = fake(Palette::BLACK, true);
        assert_eq!(found(1, MONO01, 0, &device), (Format::Bits { white: false }, None));
        assert_eq!(found(1, MONO10, 0, &device), (Format::Bits { white: true }, None));
        assert_eq!(found(8, STATIC_PSEUDOCOLOR, 1, &device), (Format::Grey(same()), None));
        assert_eq!(found(8, TRUECOLOR, 1, &device), (Format::Grey(same()), None));
    }

    #[test]
    fn a_palette_is_set_and_put_back_and_a_fixed_one_is_used() {
        let mut before = Palette::BLACK;
        before.red[1] = 65_535;
        let (variable, fixed) = kind(8, PSEUDOCOLOR, 0);
        let device = fake(before.clone(), false);
        assert_eq!(format(&variable, &fixed, &device), Ok((Format::Palette(same()), Some(before.clone()))));
        assert_eq!(*device.palette.borrow(), Palette::colours());
        put_back(&device, Some(&before));
        assert_eq!(*device.palette.borrow(), before);
        let (grey, _) = kind(8, PSEUDOCOLOR, 1);
        assert_eq!(format(&grey, &fixed, &device), Ok((Format::Grey(same()), Some(before.clone()))));
        assert_eq!(*device.palette.borrow(), Palette::greys());
        // Red is number 1 there.
        for visual in [PSEUDOCOLOR, STATIC_PSEUDOCOLOR] {
            let device = fake(before.clone(), true);
            let Ok((Format::Palette(numbers), None)) = format(&variable, &Fixed { visual, ..fixed }, &device) else {
                panic!()
            };
            assert_eq!((numbers[0xe0], numbers[0x03], *device.palette.borrow() == before), (1, 0, true));
        }
        let mut greys = Palette::greys();
        for channel in [&mut greys.red, &mut greys.green, &mut greys.blue] {
            channel.reverse();
        }
        let Ok((Format::Grey(numbers), None)) = format(&variable, &fixed, &fake(greys, true)) else { panic!() };
        assert_eq!((numbers[0], numbers[255], numbers[100]), (255, 0, 155));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let named = |change: &dyn Fn(&mut Variable, &mut Fixed)| {
            let (mut variable, mut fixed) = info(10, 5, 64);
            change(&mut variable, &mut fixed);
            format(&variable, &fixed, &fake(Palette::BLACK, true)).unwrap_err()
        };
        for (message, expected) in [
            (named(&|variable, _| variable.bits_per_pixel = 4), "pixels of 4 bits (visual 2) are not known"),
            (named(&|variable, _| variable.bits_per_pixel = 1), "pixels of 1 bits (visual 2) are not known"),
            (named(&|_, fixed| fixed.visual = 6), "pixels of 32 bits (visual 6) are not known"),
            (named(&|variable, _| variable.grayscale = 0x3231_5659), "0x32315659 (FourCC)"),
            (named(&|_, fixed| fixed.kind = 1), "memory of type 1"),
            (named(&|variable, _| variable.red.most_significant_right = 1), "the highest at the right"),
            (named(&|variable, _| variable.red.length = 0), "with colours at"),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn contents_are_written_where_the_screen_is() {
        let file = tempfile::tempfile().unwrap();
        let (mut variable, fixed) = info(2, 2, 16);
        variable.yoffset = 2;
        let (layout, start) = layout(&variable, &fixed, Format::Colours(PixelFormat::XRGB8888)).unwrap();
        let mut screen = Framebuffer { path: "screen".into(), file, layout, start, before: None, console: None };
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
