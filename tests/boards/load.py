#!/usr/bin/env python3
"""The web server under load: 1,000 connections, of which 50 watch and never read, and the others send their headers slowly, or nothing.

    tests/boards/load.py [--program PROGRAM] [--seconds 20] [--rounds 5]     # target/release/densight-camera

/healthz has to answer within 100 ms throughout, and frames a second have to stay within 3 % of those without load. Both are measured in
turns, on a source of 30 frames a second. It takes nothing but Python; a process of its own asks for /healthz every 20 ms. The clients
have the lowest priority. Where other work would take from the camera, name a PROGRAM that starts it by `chrt -f 1`, and begin with `nice -n -15`.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time

CONNECTIONS, VIEWERS = 1000, 50
LONGEST = 0.1  # seconds that /healthz may take
LESS = 0.03  # of the frames


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body.decode()


def probe(port, seconds):
    """Asks for /healthz; prints each answer's time, and what failed."""
    end, times, failures = time.monotonic() + seconds, [], []
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            status, body = get(port, "/healthz")
            if status != 200:
                failures.append(f"{status} {body.strip()}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
        times.append(time.monotonic() - begin)
        time.sleep(0.02)
    print(json.dumps({"times": times, "failures": failures}))


class Load:
    """Clients that come back a second after they were hung up on."""

    def __init__(self, port):
        self.port, self.open, self.made, self.refused = port, 0, 0, 0

    async def client(self, first, slow):
        await asyncio.sleep(first)
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(1)
                continue
            self.open += 1
            self.made += 1
            try:
                await slow(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self.open -= 1
                writer.transport.abort()
            await asyncio.sleep(1)

    async def watches(self, reader, writer):
        """Asks for the stream, and takes nothing of it: once the system's buffers are full nothing more goes through."""
        writer.transport.pause_reading()
        writer.write(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(30)

    async def headers(self, reader, writer):
        """A header a letter at a time, without end."""
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            try:
                if await asyncio.wait_for(reader.read(1024), 0.5) == b"":
                    return
            except asyncio.TimeoutError:
                pass

    async def silent(self, reader, writer):
        await reader.read(1)

    async def run(self, seconds):
        kinds = [self.watches] * VIEWERS + [self.headers, self.silent] * ((CONNECTIONS - VIEWERS) // 2)
        self.tasks = [asyncio.create_task(self.client(i / CONNECTIONS, kind)) for i, kind in enumerate(kinds)]
        await asyncio.sleep(seconds)
        print(json.dumps({"made": self.made, "refused": self.refused}), flush=True)
        # With the process all connections are closed.
        os._exit(0)


def frames(port):
    return int(re.search(r"^densight_frames_total (\d+)", get(port, "/metrics")[1], re.M)[1])


def turn(port, seconds, load):
    """Frames a second, and what the probe saw."""
    worker = subprocess.Popen([sys.executable, __file__, "--load", str(port), str(seconds + 2)], stdout=subprocess.PIPE) if load else None
    time.sleep(1)
    watcher = subprocess.Popen([sys.executable, __file__, "--probe", str(port), str(seconds)], stdout=subprocess.PIPE)
    begin, before = time.monotonic(), frames(port)
    seen = json.loads(watcher.communicate()[0])
    rate = (frames(port) - before) / (time.monotonic() - begin)
    made = json.loads(worker.communicate()[0]) if load else None
    return rate, seen, made


def main():
    if sys.argv[1:2] == ["--probe"]:
        return probe(int(sys.argv[2]), float(sys.argv[3]))
    if sys.argv[1:2] == ["--load"]:
        # Clients are other computers: what they compute themselves is not to slow the camera.
        os.nice(19 - os.nice(0))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        load = Load(int(sys.argv[2]))
        return asyncio.run(load.run(float(sys.argv[3])))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/release/densight-camera")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    camera = subprocess.Popen(
        [given.program, "test://pattern", "http://127.0.0.1:0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        port = next(int(found[1]) for line in camera.stderr if (found := re.search(r"http://127\.0\.0\.1:(\d+)/", line)))
        time.sleep(2)
        rates, times, failures, made = {False: [], True: []}, {False: [], True: []}, [], 0
        for _ in range(given.rounds):
            for load in (False, True):
                rate, seen, clients = turn(port, given.seconds, load)
                rates[load].append(rate)
                times[load] += seen["times"]
                failures += seen["failures"]
                made += clients["made"] if clients else 0
        for load in (False, True):
            took = sorted(times[load])
            print(
                f"{'with' if load else 'without'} load: {statistics.median(rates[load]):.2f} frames a second"
                f" ({min(rates[load]):.2f} to {max(rates[load]):.2f}); /healthz {len(took)} times, median {1000 * statistics.median(took):.1f} ms,"
                f" 99 % {1000 * took[int(len(took) * 0.99)]:.1f} ms, longest {1000 * took[-1]:.1f} ms"
            )
        less = 1 - statistics.median(rates[True]) / statistics.median(rates[False])
        print(f"{made} connections were made; frames a second changed by {-100 * less:+.2f} %; /healthz failed {len(failures)} times {failures[:3]}")
        is_well = less <= LESS and times[True] and max(times[True]) <= LONGEST and not failures and camera.poll() is None
        print("ok" if is_well else "FAILED")
        return 0 if is_well else 1
    finally:
        camera.terminate()
        camera.wait()


if __name__ == "__main__":
    sys.exit(main())
