"""Takes what all JPEG files of a packed set begin with out of them, and puts it back.

    python pictures.py pack SET.npz SMALL.npz
    python pictures.py unpack SMALL.npz SET.npz
"""

import sys

import numpy as np


def cut(blob, offsets, begin, left_out):
    """Each file from `begin` on, one after the other, and where each begins."""
    lengths = np.diff(offsets) - left_out
    parts = [blob[o + begin : e] for o, e in zip(offsets[:-1], offsets[1:])]
    return parts, np.concatenate([[0], np.cumsum(lengths)])


def pack(file):
    blob, offsets = file["blob"].tobytes(), file["off"].astype(np.int64)
    first = blob[offsets[0] : offsets[1]]
    head = first[: first.find(b"\xff\xda")]
    if not all(blob[o : o + len(head)] == head for o in offsets[:-1]):
        head = b""
    parts, small = cut(blob, offsets, len(head), len(head))
    return {"head": np.frombuffer(head, np.uint8), "blob": np.frombuffer(b"".join(parts), np.uint8), "off": small}


def unpack(file):
    blob, offsets, head = file["blob"].tobytes(), file["off"], file["head"].tobytes()
    parts, large = cut(blob, offsets, 0, -len(head))
    return {"blob": np.frombuffer(b"".join(head + part for part in parts), np.uint8), "off": large}


def main():
    verb, source, target = sys.argv[1:]
    file = np.load(source)
    changed = {"pack": pack, "unpack": unpack}[verb](file)
    np.savez(target, **changed, **{name: file[name] for name in ("y", "split", "classes")})


if __name__ == "__main__":
    main()
