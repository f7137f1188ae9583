#!/usr/bin/env python3
"""A day of events within minutes, while all that is done for them goes wrong: a web server that is slow, a program that hangs, a broker
that comes and goes, pictures that are written one by one.

    tests/boards/events.py [--program PROGRAM] [--events 4000] [--rate 50] [--runs 3]   # target/release/densight-camera

What was sent and what was lost must add up to what was made, exactly; memory must not grow. Runs without actions take turns with those
with them: inference must take as long. Needs mosquitto and its clients (Debian: mosquitto, mosquitto-clients), and features `actions`.
"""

import argparse
import collections
import http.server
import json
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

SLOW = 0.2  # seconds that the web server takes
UP, DOWN = 8, 4  # seconds that the broker is there, and is not
GROWTH = 4096  # KiB of memory that may come between a fifth of the run and its end


def picture(path, rgb):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    width, height = 160, 120
    rows = (b"\0" + bytes(rgb) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A web server that takes its time. `got` counts the events that it has answered."""

    def __init__(self):
        got = self.got = collections.Counter()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(SLOW)
                self.send_response(204)
                self.end_headers()
                got[body["event"]["time"]] += 1

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Broker:
    """A mosquitto that is ended and started again, and a client that misses nothing: the broker keeps for it what comes meanwhile."""

    def __init__(self, folder):
        self.port, self.folder, self.comings = free_port(), folder, 0
        (folder / "mosquitto.conf").write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        )
        self.start()
        time.sleep(1)
        self.heard = open(folder / "heard", "w+", encoding="utf-8")
        client = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-i", "day", "-c", "-q", "1", "-t", "day/event"]
        self.client = subprocess.Popen(client, stdout=self.heard, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def start(self):
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        self.process = subprocess.Popen([program, "-c", self.folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
        self.comings += 1

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def got(self):
        """Events that came. One comes twice if an acknowledgement of it was lost, the broker's or the client's."""
        time.sleep(5)
        self.client.terminate()
        self.client.wait()
        self.heard.seek(0)
        return collections.Counter(json.loads(line)["time"] for line in self.heard)

    def close(self):
        self.stop()


def settings(folder, server, broker):
    log = folder / "ran"
    return f"""
[[webhook]]
url = "http://127.0.0.1:{server.server.server_port}/"
picture = true
[[command]]
run = ["sh", "-c", "case $DENSIGHT_TIME in *7) sleep 60;; esac; echo $DENSIGHT_TIME >> {log}"]
timeout = 0.5
[[record]]
folder = "{folder / 'kept'}"
name = "%H/%M%S-{{label}}"
[mqtt]
url = "mqtt://127.0.0.1:{broker.port}"
topic = "day"
picture = true
"""


def memory(process):
    """In KiB; 0 when it has ended."""
    try:
        return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])
    except (OSError, TypeError):
        return 0


def run(options, folder, config, meanwhile):
    """Runs the camera; its records, its last line, and its memory every quarter of a second."""
    (folder / "day.toml").write_text("unknown-threshold = 1.0\n[state]\nenter = 0.2\nleave = 0.1\nhold = 0.0\n" + config)
    records, said = folder / "records", open(folder / "said", "w+")
    command = [options.program, folder / "*.png", f"json://{records}", "--input-loop", "--input-rate", str(options.rate),
               "--frames", str(options.events), "--config", folder / "day.toml"]
    process = subprocess.Popen(command, stderr=said)
    sizes = []
    while process.poll() is None:
        meanwhile(process)
        sizes.append(memory(process))
        time.sleep(0.25)
    said.seek(0)
    text = said.read()
    if process.returncode:
        sys.exit(f"events.py: it ended with {process.returncode}:\n{text}")
    frames = [json.loads(line) for line in records.read_text().splitlines()]
    records.unlink()
    return frames, text, [size for size in sizes if size]


def p99(frames):
    return statistics.quantiles((frame["stages"]["inference_us"] / 1e3 for frame in frames), n=100)[98]


def eventful(options, folder):
    """A run with all actions; true if all was well."""
    server, broker = Server(), Broker(folder)
    begin, length = time.monotonic(), options.events / options.rate

    def comes_and_goes(_):
        now = time.monotonic() - begin
        is_up = now % (UP + DOWN) < UP or now > length - 6
        if is_up != (broker.process.poll() is None):
            broker.start() if is_up else broker.stop()

    frames, text, sizes = run(options, folder, settings(folder, server, broker), comes_and_goes)
    made = sum(len(frame["events"]) for frame in frames)
    log = folder / "ran"
    got = {
        "web server": server.got,
        "program": collections.Counter(log.read_text().split()) if log.exists() else {},
        "broker": broker.got(),
    }
    sent = {name: len(times) for name, times in got.items()}
    sent["pictures"] = len(list((folder / "kept").rglob("*.event.jpg")))
    broker.close()
    server.server.shutdown()
    found = re.search(r", (\d+) lost", text)
    lost = int(found[1]) if found else 0
    first, last = max(sizes[: len(sizes) // 5]), max(sizes[-len(sizes) // 5 :])
    twice = sum(got["broker"].values()) - sent["broker"]
    print(f"  {made} events; the broker came {broker.comings} times, and got {twice} twice; "
          f"sent {sent}; {lost} lost; {made * 4 - sum(sent.values()) - lost} not accounted for")
    print(f"  memory: {first} KiB at most in the first fifth, {last} in the last")
    warnings = text.count("warning: ")
    print(f"  {warnings} warnings in {length:.0f} s")
    is_well = made * 4 == sum(sent.values()) + lost and last - first < GROWTH and made >= options.events / 2
    if not is_well:
        print(text)
    return is_well, p99(frames)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/release/densight-camera")
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    times, is_well = {"without": [], "with": []}, True
    for number in range(options.runs):
        for kind in times:
            folder = pathlib.Path(tempfile.mkdtemp(prefix="events-"))
            picture(folder / "0.png", (60, 120, 220))
            picture(folder / "1.png", (40, 120, 30))
            print(f"run {number + 1} {kind} actions")
            if kind == "with":
                well, time_99 = eventful(options, folder)
                is_well &= well
            else:
                time_99 = p99(run(options, folder, "", lambda _: None)[0])
            print(f"  inference: p99 {time_99:.2f} ms", flush=True)
            times[kind].append(time_99)
            shutil.rmtree(folder)
    said = [f"{statistics.median(all):.2f} ms {kind} ({min(all):.2f} to {max(all):.2f})" for kind, all in times.items()]
    print(f"p99 of inference, medians of {options.runs}: {', '.join(said)}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
