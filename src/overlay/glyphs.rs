//! Bitmaps of characters: those of GNU Unifont, and boxes with the code of what it has none for.

/// Rows of a bitmap.
pub(super) const ROWS: u32 = 16;

/// A bitmap, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glyph {
    /// From the top; the leftmost pixel is the highest bit.
    pub(super) rows: [u16; ROWS as usize],
    pub(super) place: Place,
}

/// Where a bitmap goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "unicode"), allow(dead_code))]
pub(super) enum Place {
    /// Into a cell of its own, so many pixels wide.
    Cell(u32),
    /// Over the end of what is before it, beginning so many pixels from there (a negative number).
    OverEnd(i32),
    /// Over what is before it, both beginning at the same column.
    OverStart,
}

/// The font's bitmap of `c`, if it has one.
#[cfg(feature = "unicode")]
pub(super) fn find(c: char) -> Option<Glyph> {
    /// Described in `unifont/make.py`.
    static TABLE: &[u8] = include_bytes!("unifont/unifont.bin");
    /// Added to the width of what has no cell of its own.
    const OVER: u8 = 128;

    let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    let (count, rest) = TABLE.split_first_chunk()?;
    let (ranges, bitmaps) = rest.split_at_checked(number(count) as usize * 12)?;
    let ranges = ranges.as_chunks::<12>().0;
    let after = ranges.partition_point(|range| range.first_chunk().is_some_and(|first| number(first) <= c.into()));
    let [f0, f1, f2, f3, b0, b1, b2, b3, n0, n1, width, origin] = *ranges.get(after.checked_sub(1)?)?;
    let index = u32::from(c) - number(&[f0, f1, f2, f3]);
    if index >= u32::from(u16::from_le_bytes([n0, n1])) {
        return None;
    }
    let (cell, origin) = (u32::from(width % OVER), i32::from(origin.cast_signed()));
    let bytes_a_row = cell.div_ceil(8);
    let start = number(&[b0, b1, b2, b3]) + index * bytes_a_row * ROWS;
    let bitmap = bitmaps.get(start as usize..)?.get(..(bytes_a_row * ROWS) as usize)?;
    let mut rows = [0; ROWS as usize];
    for (row, bytes) in rows.iter_mut().zip(bitmap.chunks_exact(bytes_a_row as usize)) {
        *row = u16::from_be_bytes([bytes[0], bytes.get(1).copied().unwrap_or(0)]);
    }
    let place = match origin {
        _ if width < OVER => Place::Cell(cell),
        0 => Place::OverStart,
        _ => Place::OverEnd(origin),
    };
    Some(Glyph { rows, place })
}

/// The font is not in this program.
#[cfg(not(feature = "unicode"))]
pub(super) fn find(_: char) -> Option<Glyph> {
    None
}

/// A box with the code of `c` in it, in hexadecimal: two rows of two digits, or of three.
pub(super) fn code_box(c: char) -> Glyph {
    /// Five rows of three pixels each, top left first.
    const DIGITS: [u16; 16] = [
        0o75557, 0o26227, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71222, 0o75757, 0o75717, 0o25755, 0o65656,
        0o34443, 0o65556, 0o74647, 0o74644,
    ];
    let code = u32::from(c);
    let across = if code > 0xffff { 3 } else { 2 };
    let right = 4 * across + 2;
    let mut rows = [0; ROWS as usize];
    let mut set = |x: u32, y: u32| rows[y as usize] |= 0x8000_u16 >> x;
    for x in 0..=right {
        set(x, 0);
        set(x, 14);
    }
    for y in 0..15 {
        set(0, y);
        set(right, y);
    }
    for place in 0..2 * across {
        let digit = DIGITS[(code >> (4 * (2 * across - 1 - place)) & 15) as usize];
        let (left, top) = (2 + place % across * 4, 2 + place / across * 6);
        for (x, y) in (0..5).flat_map(|y| (0..3).map(move |x| (x, y))) {
            if digit >> (14 - 3 * y - x) & 1 == 1 {
                set(left + x, top + y);
            }
        }
    }
    Glyph { rows, place: Place::Cell(right + 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bitmap as text.
    fn ascii(glyph: &Glyph) -> Vec<String> {
        let row = |row: &u16| (0..16).map(|x| if row << x & 0x8000 != 0 { '#' } else { ' ' }).collect::<String>();
        glyph.rows.iter().map(|bits| row(bits).trim_end().to_owned()).collect()
    }

    #[test]
    fn boxes_have_the_code() {
        let small = code_box('\u{9ae}');
        let expected = [
            "###########",
            "#         #",
            "# ### ### #",
            "# # # # # #",
            "# # # ### #",
            "# # #   # #",
            "# ### ### #",
            "#         #",
            "#  #  ### #",
            "# # # #   #",
            "# ### ##  #",
            "# # # #   #",
            "# # # ### #",
            "#         #",
            "###########",
            "",
        ];
        assert_eq!((ascii(&small), small.place), (expected.map(str::to_owned).to_vec(), Place::Cell(12)));
        let large = code_box('\u{10fffd}');
        assert_eq!((ascii(&large)[2].as_str(), large.place), ("#  #  ### ### #", Place::Cell(16)));
    }

    /// Bitmaps as `unifont.hex` of the same release has them.
    #[cfg(feature = "unicode")]
    #[test]
    fn glyphs_are_the_fonts() {
        for (c, hex) in [
            ('\u{41}', "0000000018242442427E424242420000"),
            ('\u{5d0}', "0000000000424222122C484442420000"),
            ('\u{639}', "000000000000001824201C204040423C"),
            ('\u{fecb}', "00000000000000182420FE0000000000"),
            ('\u{732b}', "008844882BFE10882888480089FC09241924292449FC89240924092451FC2104"),
            ('\u{2409}', "0000000000000000000022F822203E2022202220000000000000000000000000"),
        ] {
            let glyph = find(c).unwrap();
            let wide = hex.len() > 32;
            let bytes =
                glyph.rows.iter().map(|row| if wide { format!("{row:04X}") } else { format!("{:02X}", row >> 8) });
            assert_eq!(
                (bytes.collect::<String>().as_str(), glyph.place),
                (hex, Place::Cell(if wide { 16 } else { 8 }))
            );
        }
        // An acute accent stands over the end of its letter, a cat is in plane 1.
        assert_eq!(find('\u{301}').unwrap().place, Place::OverEnd(-8));
        assert_eq!(find('\u{1f431}').unwrap().rows[2..5], [0x1010, 0x2ba8, 0x2448]);
    }

    #[cfg(feature = "unicode")]
    #[test]
    fn every_range_of_the_font_is_whole() {
        let found: Vec<char> = ('\0'..=char::MAX).filter(|c| find(*c).is_some()).collect();
        assert_eq!((found.len(), found[0]), (70_568, ' '));
        for range in
            ['\u{400}'..='\u{4ff}', '\u{4e00}'..='\u{9fff}', '\u{ac00}'..='\u{d7a3}', '\u{1f400}'..='\u{1f64f}']
        {
            assert!(range.clone().all(|c| find(c).is_some()), "{range:?}");
        }
        for c in ['\0', '\t', '\u{7f}', '\u{e000}', '\u{ffff}', char::MAX] {
            assert_eq!(find(c), None, "{c:?}");
        }
    }
}
