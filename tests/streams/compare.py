#!/usr/bin/env python3
"""Damages Motion JPEG at random places, and counts the pictures that densight-camera and ffmpeg find in each stream.

    tests/streams/compare.py --camera target/release/densight-camera [--ffmpeg ffmpeg] [--streams 1000] [--seed 1]

Fails if Densight finds less than 99 % of ffmpeg's pictures in all, if a run ends with anything but what it should, or if
a stream that comes through a pipe ends before its last whole picture. Needs ffmpeg, which makes the pictures too.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = 12
SIZES = ("320x240", "64x48", "98x50")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camera", required=True)
    parser.add_argument("--ffmpeg", default="ffmpeg")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the streams in which Densight finds fewer")
    args = parser.parse_args()
    ours, theirs, fewer, wrong = 0, 0, [], []
    with tempfile.TemporaryDirectory() as folder:
        clips = [make_clip(args.ffmpeg, size, Path(folder)) for size in SIZES]
        path = Path(folder) / "damaged.mjpeg"
        for number in range(args.streams):
            rng = random.Random(f"{args.seed} {number}")
            stream, kinds = damaged(rng, rng.choice(clips))
            path.write_bytes(stream)
            found, problem = count_ours(args.camera, path)
            expected = count_theirs(args.ffmpeg, path)
            if problem is None and number % 10 == 0:
                problem = through_a_pipe(args.camera, stream, clips[0][0])
            ours, theirs = ours + found, theirs + expected
            if problem:
                wrong.append(f"stream {number} ({' '.join(kinds)}): {problem}")
            if found < expected:
                fewer.append(f"stream {number} ({' '.join(kinds)}): {found}, ffmpeg {expected}")
                if args.keep:
                    args.keep.mkdir(exist_ok=True)
                    (args.keep / f"{number}.mjpeg").write_bytes(stream)
    print(*wrong, *fewer, sep="\n")
    print(f"{args.streams} streams: {ours} pictures, ffmpeg {theirs}; fewer in {len(fewer)}, wrong {len(wrong)}")
    sys.exit(1 if wrong or ours < 0.99 * theirs else 0)


def make_clip(ffmpeg, size, folder):
    """Whole pictures of a moving test picture."""
    path = folder / f"{size}.mjpeg"
    source = f"testsrc2=size={size}:rate=10,format=yuvj420p"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(PICTURES), "-q:v", "5", "-y", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    pictures = re.split(b"(?=\xff\xd8\xff)", path.read_bytes())[1:]
    assert len(pictures) == PICTURES
    return pictures


def damaged(rng, pictures):
    """A stream with one to four damages, and which."""
    pictures, between, kinds = list(pictures), [b""] * len(pictures), []
    layout = rng.choice(["plain", "plain", "plain", "crlf", "multipart"])
    for _ in range(rng.randint(1, 4)):
        which = rng.randrange(len(pictures))
        picture, kind = pictures[which], rng.choice(["cut", "delete", "overwrite", "insert", "no-end", "between"])
        at, count = rng.randrange(len(picture) + 1), rng.choice([1, 2, 5, 30, 300])
        garbage = rng.randbytes(count)
        if kind == "cut":
            picture = picture[:at]
        elif kind == "delete":
            picture = picture[:at] + picture[at + count :]
        elif kind == "overwrite":
            picture = (picture[:at] + garbage)[: len(picture)] + picture[at + count :]
        elif kind == "insert":
            picture = picture[:at] + garbage + picture[at:]
        elif kind == "no-end":
            picture = picture[:-2]
        else:
            between[which] += garbage
        pictures[which] = picture
        kinds.append(kind)
    stream = b""
    for picture, garbage in zip(pictures, between):
        if layout == "multipart":
            stream += b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
        stream += picture + garbage + (b"" if layout == "plain" else b"\r\n")
    return stream, [layout, *kinds]


def count_ours(camera, path):
    run = subprocess.run([camera, path, "json://-", "-q"], capture_output=True, stdin=subprocess.DEVNULL)
    records = [json.loads(line) for line in run.stdout.splitlines()]
    expected = 0 if records else 1
    problem = None if run.returncode == expected else f"exit code {run.returncode}: {run.stderr.decode()[-300:]}"
    return len(records), "a panic" if b"panicked" in run.stderr else problem


def count_theirs(ffmpeg, path):
    command = [ffmpeg, "-v", "quiet", "-f", "mjpeg", "-i", path, "-fps_mode", "passthrough", "-f", "null", "-progress", "-", "-"]
    run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    counts = re.findall(rb"frame=(\d+)", run.stdout)
    return int(counts[-1]) if counts else 0


def through_a_pipe(camera, stream, whole):
    """What is wrong with a run on a pipe that gets `stream` and then a whole picture."""
    run = subprocess.run([camera, "-", "json://-", "-q"], input=stream + whole, capture_output=True)
    if run.returncode != 4 or b"panicked" in run.stderr:
        return f"exit code {run.returncode} on a pipe: {run.stderr.decode()[-300:]}"
    records = [json.loads(line) for line in run.stdout.splitlines()]
    return None if records and not records[-1]["partial"] else "the last picture did not come through the pipe"


if __name__ == "__main__":
    main()
