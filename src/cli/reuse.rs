//! `densight inspect --reuse`: how much each layer uses of each earlier one, as a drawing.

use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::model::reuse::{BlockReuse, Reader, reuse};
use crate::runtime::SessionOptions;
use crate::text;

/// Side of a square, and the space around the blocks, in pixels.
const CELL: usize = 14;
const MARGIN: usize = 30;
/// Drawn as strongly as it gets: so many times the average channel's weight.
const MOST: f32 = 2.5;
/// Most squares that are drawn.
const MOST_CELLS: usize = 100_000;

/// The dense blocks of the model at `path`.
///
/// # Errors
/// [`ErrorKind::Model`] for a model without dense blocks, or a prepared one; what opening it fails with.
pub(super) fn blocks(path: &Path, options: &SessionOptions) -> Result<Vec<BlockReuse>> {
    let networks = super::model::file(Some(path), options)?.fuse()?.networks;
    let blocks: Vec<BlockReuse> = networks.iter().flat_map(reuse).collect();
    if blocks.is_empty() {
        let message =
            "no layer of it reads a concatenation that Densight's kernels run: it has no dense blocks to show";
        return Err(Error::new(ErrorKind::Model, message).at(path.display()));
    }
    Ok(blocks)
}

/// Writes the blocks of `model` as an SVG drawing: a column for each reader, a row for each source.
///
/// # Errors
/// [`ErrorKind::Usage`] where that would replace the model, [`ErrorKind::Io`] for a file that cannot be written, [`ErrorKind::Model`] for
/// more than a drawing holds.
pub(super) fn draw(blocks: &[BlockReuse], path: &Path, model: &Path) -> Result<()> {
    if super::same_file(path, model) {
        let message = format!("--reuse {} would replace the model: draw into another file", path.display());
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let cells: usize = blocks.iter().map(|block| block.sources.len() * block.readers.len()).sum();
    if cells > MOST_CELLS {
        let message = format!("{cells} pairs of layers are too many to draw: --json lists them");
        return Err(Error::new(ErrorKind::Model, message));
    }
    let svg = svg(blocks);
    files::write(path, |file| file.write_all(svg.as_bytes()))
}

fn svg(blocks: &[BlockReuse]) -> String {
    let width = |block: &BlockReuse| block.readers.len() * CELL + MARGIN;
    let rows = blocks.iter().map(|block| block.sources.len()).max().unwrap_or(0);
    let (across, down) = (MARGIN + blocks.iter().map(width).sum::<usize>(), rows * CELL + 3 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{across}\" height=\"{down}\" viewBox=\"0 0 {across} {down}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut left = MARGIN;
    for (number, block) in blocks.iter().enumerate() {
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">block {}</text>", MARGIN - 8, number + 1);
        for (column, reader) in block.readers.iter().enumerate() {
            cells(&mut svg, block, reader, left + column * CELL);
        }
        left += width(block);
    }
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{}\">columns read, rows are read; white: 0, black: {MOST} times the average channel's weight</text>",
        down - MARGIN
    );
    svg + "</svg>\n"
}

/// A column: what one layer uses of each source.
fn cells(svg: &mut String, block: &BlockReuse, reader: &Reader, x: usize) {
    for (row, (source, share)) in block.sources.iter().zip(&reader.uses).enumerate() {
        let Some(share) = share else { continue };
        let light = (100.0 * (1.0 - (share / MOST).clamp(0.0, 1.0))).round();
        let title = text::markup(&format!("{} of {}: {share:.2}", text::name(&reader.name), text::name(source)));
        let y = MARGIN + row * CELL;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"hsl(215 60% {light}%)\" stroke=\"#ccc\">\
             <title>{title}</title></rect>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_that_is_read_is_a_square_and_names_are_escaped() {
        let reader = |uses: &[Option<f32>]| Reader { name: "<b>".into(), uses: uses.to_vec() };
        let block = BlockReuse {
            sources: vec!["in".into(), "a&b".into()],
            readers: vec![reader(&[Some(1.0), None]), reader(&[Some(0.0), Some(9.0)])],
        };
        let svg = svg(&[block]);
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("&lt;b&gt; of a&amp;b: 9.00") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("215 60% 100%") && svg.contains("215 60% 60%") && svg.contains("215 60% 0%"), "{svg}");
    }
}
