#!/usr/bin/env python3
"""Writes the damaged streams of corpus/, and counts ffmpeg's pictures in each: tests/streams/corpus.py [FFMPEG]"""

import sys
import tempfile
from pathlib import Path

from compare import count_theirs, make_clip

HERE = Path(__file__).parent
GARBAGE = bytes([0x11, 0x80, 0xC3, 0x07]) * 9


def main():
    ffmpeg = sys.argv[1] if len(sys.argv) > 1 else "ffmpeg"
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_clip(ffmpeg, "32x24", Path(folder))[:6]
    (HERE / "corpus").mkdir(exist_ok=True)
    for name, stream in streams(pictures).items():
        path = HERE / "corpus" / f"{name}.mjpeg"
        path.write_bytes(stream)
        print(f"{name}: {count_theirs(ffmpeg, path)}")


def streams(pictures):
    """Each damage in the third of six pictures, or between all of them."""
    third, joined = pictures[2], b"".join
    half = len(third) // 2

    def with_third(bytes):
        return joined(pictures[:2] + [bytes] + pictures[3:])

    sof = third.index(b"\xff\xc0")
    return {
        "whole": joined(pictures),
        "crlf": joined(picture + b"\r\n" for picture in pictures),
        "multipart": joined(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n" for picture in pictures),
        "no_end": joined(picture[:-2] for picture in pictures),
        "cut_in_data": with_third(third[:half]),
        "cut_in_header": with_third(third[: sof + 6]),
        "cut_last": joined(pictures)[:-40],
        "range_lost": with_third(third[:half] + third[half + 60 :]),
        "garbage_between": with_third(third + GARBAGE),
        "garbage_first": GARBAGE + joined(pictures),
        "garbage_inside": with_third(third[:half] + GARBAGE + third[half:]),
        "bad_marker": with_third(third[:half] + b"\xff\x3c" + third[half + 2 :]),
        "huge_length": with_third(third[:4] + b"\xff\xf0" + third[6:]),
        "starts_late": joined(pictures)[half:],
    }


if __name__ == "__main__":
    main()
