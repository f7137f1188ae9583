//! What of a device's offers is taken.

use std::io;

use super::answers;
use super::modes::{self, Mode};
use super::offers::{Lists, Offers, Sizes};
use crate::camera::{LEAST_SIZE, SourceOptions};

/// The modes in encodings that Densight reads. A range of sizes counts as the one nearest to what is wanted.
pub(super) fn offered(device: &impl Lists, options: &SourceOptions) -> io::Result<Vec<Mode>> {
    let usual = options.least.unwrap_or(modes::USUAL_SIZE);
    let wanted = (options.width.unwrap_or(usual.0), options.height.unwrap_or(usual.1));
    let (offers, mut modes) = (Offers::of(device), Vec::new());
    for format in offers.formats()? {
        let (fourcc, Some(known)) = (format.fourcc, answers::format(format.fourcc)) else { continue };
        let sizes = match offers.sizes(fourcc)? {
            Sizes::Range(range) => vec![range.nearest(wanted.0, wanted.1)],
            Sizes::List(sizes) if sizes.is_empty() => vec![wanted],
            Sizes::List(sizes) => sizes,
        };
        for (width, height) in sizes {
            let intervals = offers.intervals(fourcc, (width, height), options.rate)?;
            modes.push(Mode { format: known, fourcc, width, height, intervals });
        }
    }
    Ok(modes)
}

/// What is taken by a small network where nothing is asked for, in words: `YUYV 320x240 30 fps`.
pub(super) fn usual(device: &impl Lists) -> Option<String> {
    let options = SourceOptions { least: Some(LEAST_SIZE), ..SourceOptions::default() };
    let modes = offered(device, &options).ok()?;
    let (mode, interval) = modes::choose(&modes, &options)?;
    let rate = interval.map_or(String::new(), |i| format!(" {} fps", (i.rate() * 100.0).round() / 100.0));
    Some(format!("{} {}x{}{rate}", mode.format.name(), mode.width, mode.height))
}
