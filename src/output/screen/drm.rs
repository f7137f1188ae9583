//! A display by its driver (DRM/KMS): pictures in two buffers, of which the display shows one while the other is drawn.
//!
//! Buffers are "dumb", which every driver with a display has. The display is given back when the file is closed, which the
//! kernel does for a killed program too.

use std::fs::File;
use std::io::{self, ErrorKind as Io};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use drm::buffer::{Buffer, DrmFourcc};
use drm::control::dumbbuffer::DumbBuffer;
use drm::control::{
    Device as _, Mode, ModeTypeFlags, PageFlipFlags, ResourceHandles, connector, crtc, framebuffer as registered,
};
use drm::{Device as _, DriverCapability};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::format::Format;
use super::pixels::PixelFormat;
use super::{Layout, Surface};
use crate::error::{Error, ErrorKind, Result, reason};

/// A display that takes no picture for so long takes none any more.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// A graphics card's device.
#[derive(Debug)]
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// Where a card can show pictures.
#[derive(Debug)]
struct Output {
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    /// As the socket is called: `HDMI-A-1`.
    name: String,
}

/// A display that is this program's.
#[derive(Debug)]
pub(super) struct Display {
    path: PathBuf,
    card: Card,
    output: Output,
    layout: Layout,
    buffers: [(DumbBuffer, registered::Handle); 2],
    /// The buffer that is drawn next.
    next: usize,
    /// The display has been told to show a buffer, and has not said that it does.
    flipping: bool,
    /// What it showed before.
    before: Option<crtc::Info>,
}

impl Display {
    /// Takes the first connected display of the card at `path`; of the first card that has one, where that is a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] if there is none, if this user may not, or if another program has it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Self::of_card(path).map_err(|error| failed(path, error));
        }
        let entries = path.read_dir().map_err(|error| failed(path, error))?;
        let mut cards: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        cards.retain(|card| card.file_name().is_some_and(|name| name.to_string_lossy().starts_with("card")));
        cards.sort();
        let mut first = None;
        for card in cards {
            match Self::of_card(&card) {
                Ok(display) => return Ok(display),
                Err(error) => _ = first.get_or_insert(failed(&card, error)),
            }
        }
        Err(first.unwrap_or_else(|| failed(path, Io::NotFound.into())))
    }

    fn of_card(path: &Path) -> io::Result<Self> {
        let card = Card(File::options().read(true).write(true).open(path)?);
        let output = find_output(&card)?;
        let (width, height) = output.mode.size();
        let shallow = card.get_driver_capability(DriverCapability::DumbPreferredDepth).is_ok_and(|depth| depth == 16);
        let (code, format, depth) = match shallow {
            true => (DrmFourcc::Rgb565, PixelFormat::RGB565, 16),
            false => (DrmFourcc::Xrgb8888, PixelFormat::XRGB8888, 24),
        };
        let bits = 8 * format.bytes as u32;
        let buffer = || -> io::Result<_> {
            let buffer = card.create_dumb_buffer((width.into(), height.into()), code, bits)?;
            let handle = card.add_framebuffer(&buffer, depth, bits)?;
            Ok((buffer, handle))
        };
        let buffers = [buffer()?, buffer()?];
        let (stride, format) = (buffers[0].0.pitch() as usize, Format::Colours(format));
        let layout = Layout { width: width.into(), height: height.into(), stride, format };
        let before = card.get_crtc(output.crtc).ok();
        // Buffers begin black.
        card.set_crtc(output.crtc, Some(buffers[0].1), (0, 0), &[output.connector], Some(output.mode))?;
        Ok(Self { path: path.into(), card, output, layout, buffers, next: 1, flipping: false, before })
    }

    fn show_next(&mut self, contents: &[u8]) -> io::Result<()> {
        self.wait()?;
        let (buffer, handle) = &mut self.buffers[self.next];
        let mut mapping = self.card.map_dumb_buffer(buffer)?;
        let len = contents.len().min(mapping.len());
        mapping[..len].copy_from_slice(&contents[..len]);
        drop(mapping);
        self.card.page_flip(self.output.crtc, *handle, PageFlipFlags::EVENT, None)?;
        (self.next, self.flipping) = (1 - self.next, true);
        Ok(())
    }

    /// Waits until the display shows what it was told to.
    fn wait(&mut self) -> io::Result<()> {
        while self.flipping {
            match poll(&mut [PollFd::new(&self.card, PollFlags::IN)], Some(&PATIENCE)) {
                Ok(0) => return Err(io::Error::new(Io::TimedOut, "the display takes no more pictures")),
                Ok(_) => self.flipping = self.card.receive_events()?.next().is_none(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn give_back(&mut self) {
        // The kernel's console comes back by itself when the file is closed; what another program showed before does not.
        if let Some(before) = self.before.take()
            && self.wait().is_ok()
            && before.framebuffer().is_some()
        {
            let connectors = [self.output.connector];
            let _ = self.card.set_crtc(
                before.handle(),
                before.framebuffer(),
                before.position(),
                &connectors,
                before.mode(),
            );
        }
    }
}

/// The first connected display, with its preferred mode and what drives it.
fn find_output(card: &Card) -> io::Result<Output> {
    let resources = card.resource_handles()?;
    for handle in resources.connectors() {
        let info = card.get_connector(*handle, true)?;
        let preferred = info.modes().iter().find(|mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED));
        let mode = preferred.or(info.modes().first()).copied();
        if let (connector::State::Connected, Some(mode)) = (info.state(), mode)
            && let Some(crtc) = find_crtc(card, &resources, &info)
        {
            return Ok(Output { connector: *handle, crtc, mode, name: info.to_string() });
        }
    }
    Err(io::Error::new(Io::NotFound, "no display is connected"))
}

/// What may drive a display: what does already, else the first that can.
fn find_crtc(card: &Card, resources: &ResourceHandles, info: &connector::Info) -> Option<crtc::Handle> {
    let encoders = info.current_encoder().into_iter().chain(info.encoders().iter().copied());
    let encoders: Vec<_> = encoders.filter_map(|encoder| card.get_encoder(encoder).ok()).collect();
    let current = encoders.iter().find_map(|encoder| encoder.crtc());
    current.or_else(|| {
        encoders.iter().find_map(|encoder| resources.filter_crtcs(encoder.possible_crtcs()).first().copied())
    })
}

fn failed(path: &Path, error: io::Error) -> Error {
    let what = match error.kind() {
        Io::NotFound if error.raw_os_error().is_none() && !path.is_dir() => error.to_string(),
        Io::NotFound => "there is no graphics card: fb:// may work".into(),
        // What is open may still be driven by another program.
        Io::PermissionDenied if File::options().read(true).write(true).open(path).is_ok() => {
            "another program has the display: stop the desktop, or show pictures on a web page (http://)".into()
        }
        Io::PermissionDenied => "permission denied: whoever runs this must be in the group video".into(),
        _ if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EOPNOTSUPP)) => {
            "it has no displays: try drm:// or another card".into()
        }
        _ => reason(&error),
    };
    Error::new(ErrorKind::Output, format!("cannot show pictures on {}: {what}", path.display())).caused_by(error)
}

impl Surface for Display {
    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn show(&mut self, contents: &[u8]) -> Result<()> {
        self.show_next(contents).map_err(|error| failed(&self.path, error))
    }

    fn release(&mut self) -> Result<()> {
        self.give_back();
        Ok(())
    }

    fn describe(&self) -> String {
        format!("{} on {}", self.output.name, self.path.display())
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.give_back();
        for (buffer, handle) in self.buffers {
            let _ = self.card.destroy_framebuffer(handle);
            let _ = self.card.destroy_dumb_buffer(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_card_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        for (path, expected) in [
            (Path::new("/dev/dri/no-such-card"), "there is no graphics card"),
            (Path::new("/dev/null"), "it has no displays"),
            (empty.path(), "there is no graphics card"),
        ] {
            let error = Display::open(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Output);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
