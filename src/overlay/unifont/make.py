#!/usr/bin/env python3
"""Makes unifont.bin and ../arabic/forms.rs: GNU Unifont as bitmaps, and the joined forms of Arabic letters.

    apt-get download fonts-unifont unifont && for d in *.deb; do dpkg-deb -x $d unifont; done
    pip install fonttools freetype-py
    ./make.py unifont/usr/share

Glyphs are those of the fonts that are licensed under the SIL Open Font License (fonts/opentype/unifont); those of plane 0 are compared
with the bitmaps of the same release (unifont/unifont.hex). Forms are Unicode's, as Python knows them. unifont.bin holds, little-endian:

    u32                 number of ranges
    ranges, by first    u32 first code point, u32 first bitmap (bytes behind the ranges), u16 number of glyphs, u8 width, i8 origin
    bitmaps             16 rows each, top first, of one byte (width 8) or two (width 16); the leftmost pixel is the highest bit

128 is added to the width of glyphs that are drawn over what is before them: their bitmaps begin `origin` columns from its end where that is
negative, and at its start where it is 0.
"""

import struct
import sys
import unicodedata
from pathlib import Path

import freetype
from fontTools.ttLib import TTFont

ROWS, ASCENT, OVER = 16, 14, 128
HERE = Path(__file__).parent


def glyph(face, advance, character):
    """Width, origin and bitmap of a glyph."""
    flags = freetype.FT_LOAD_RENDER | freetype.FT_LOAD_TARGET_MONO | freetype.FT_LOAD_NO_HINTING
    face.load_char(character, flags)
    slot, bitmap = face.glyph, face.glyph.bitmap
    left, right = slot.bitmap_left, slot.bitmap_left + bitmap.width
    if advance > 0:
        width, origin = advance, 0
    else:
        fits = [(8, -8), (8, 0), (16, -8), (16, -16), (16, 0), (16, left)]
        width, origin = next((w, o) for w, o in fits if bitmap.width == 0 or (o <= left and right <= o + w and (o < 0) == (left < 0)))
    rows = [0] * ROWS
    for y in range(bitmap.rows):
        line = bitmap.buffer[y * bitmap.pitch : (y + 1) * bitmap.pitch]
        row = ASCENT - slot.bitmap_top + y
        for x in range(bitmap.width):
            column = left - origin + x
            if line[x // 8] >> (7 - x % 8) & 1:
                assert 0 <= row < ROWS and 0 <= column < width, f"U+{ord(character):04X} leaves its cell"
                rows[row] |= 0x8000 >> column
    packed = b"".join(struct.pack(">H", row) if width == 16 else bytes([row >> 8]) for row in rows)
    return width if advance > 0 else width + OVER, origin, packed


def font(path):
    """Width, origin and bitmap of every character of a font that is one to be seen."""
    outlines, face = TTFont(path), freetype.Face(str(path))
    face.set_pixel_sizes(0, ROWS)
    advances, found = outlines["hmtx"], {}
    for code, name in sorted(outlines.getBestCmap().items()):
        if unicodedata.category(chr(code)) not in ("Cc", "Co", "Cs") and code & 0xFFFE != 0xFFFE:
            found[code] = glyph(face, advances[name][0] * ROWS // outlines["head"].unitsPerEm, chr(code))
    return found


def compare(found, path):
    """Bitmaps that fill cells are those of the release, pixel by pixel."""
    release = dict(line.strip().split(":") for line in path.read_text().splitlines())
    compared = 0
    for code, (width, _, bitmap) in found.items():
        if width < OVER and code < 0x10000:
            assert release[f"{code:04X}"] == bitmap.hex().upper(), f"U+{code:04X} is not as in {path}"
            compared += 1
    print(f"{compared} glyphs are as in {path.name}")


def write_font(found, path):
    ranges, bitmaps = [], bytearray()
    for code, (width, origin, bitmap) in sorted(found.items()):
        last = ranges[-1] if ranges else None
        if last and last[0] + last[2] == code and last[3:] == [width, origin] and last[2] < 0xFFFF:
            last[2] += 1
        else:
            ranges.append([code, len(bitmaps), 1, width, origin])
        bitmaps += bitmap
    table = b"".join(struct.pack("<IIHBb", *entry) for entry in ranges)
    path.write_bytes(struct.pack("<I", len(ranges)) + table + bitmaps)
    print(f"{len(found)} glyphs in {len(ranges)} ranges, {path.stat().st_size} bytes")


def write_forms(path):
    """The forms of a letter beside others, from the decompositions of the presentation forms."""
    names = ["<isolated>", "<final>", "<initial>", "<medial>"]
    letters, ligatures = {}, {}
    for code in (*range(0xFB50, 0xFBB2), *range(0xFBD3, 0xFC00), *range(0xFE80, 0xFEFD)):
        form, *parts = unicodedata.decomposition(chr(code)).split() or [""]
        if form not in names:
            continue
        key = tuple(int(part, 16) for part in parts)
        if len(key) == 1:
            letters.setdefault(key[0], [0] * 4)[names.index(form)] = code
        elif key[0] == 0x644 and 0xFEF5 <= code:
            ligatures.setdefault(key[1], [0] * 4)[names.index(form)] = code
    character = lambda code: f"'\\u{{{code:x}}}'"
    entry = lambda item: f"    ({character(item[0])}, [{', '.join(map(character, item[1]))}]),"
    lines = [
        "//! Made by `overlay/unifont/make.py` from Unicode's table of characters.",
        "",
        "/// Letters with their forms: alone, at a word's end, at its start, within it; NUL where there is none.",
        "pub(super) const LETTERS: &[(char, [char; 4])] = &[",
        *map(entry, sorted(letters.items())),
        "];",
        "",
        "/// What a lam and one of these letters become: alone, and at a word's end.",
        "pub(super) const AFTER_LAM: &[(char, [char; 2])] = &[",
        *map(entry, ((letter, forms[:2]) for letter, forms in sorted(ligatures.items()))),
        "];",
    ]
    path.write_text("\n".join(lines) + "\n")
    print(f"{len(letters)} letters, {len(ligatures)} ligatures")


def main():
    share = Path(sys.argv[1])
    folder = share / "fonts/opentype/unifont"
    found = font(folder / "unifont.otf")
    compare(found, share / "unifont/unifont.hex")
    found |= font(folder / "unifont_upper.otf")
    write_font(found, HERE / "unifont.bin")
    (HERE / "../arabic").mkdir(exist_ok=True)
    write_forms(HERE / "../arabic/forms.rs")


if __name__ == "__main__":
    main()
