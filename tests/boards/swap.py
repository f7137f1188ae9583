#!/usr/bin/env python3
"""A thousand times another model while the camera loop runs as fast as it can: good ones and bad ones, asked for by SIGHUP and, where there
is a broker, by MQTT.

    tests/boards/swap.py [--program PROGRAM] [--swaps 1000] [--hostile FOLDER]   # target/release/densight-camera

No frame may be lost or counted twice, each bad model has to be named, and memory must not grow between a tenth of the swaps and the end.
`densight` has to be beside the program: it prepares one of the models and makes one with other classes. MQTT takes mosquitto and its
clients (Debian: mosquitto, mosquitto-clients) and features `actions`.
"""

import argparse
import itertools
import json
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROWTH = 4096  # KiB of memory that may come between a tenth of the swaps and the end
PATIENCE = 120  # seconds


def fail(text):
    sys.exit(f"swap.py: {text}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def make_models(folder, densight, hostile):
    """Names of good models, and of bad ones with what has to be said of them."""
    model = (ROOT / "models/cifar10_densenet_bc_L40_k12.onnx").read_bytes()
    for name in ("a.onnx", "b.onnx"):
        (folder / name).write_bytes(model)
    shutil.copy(ROOT / "models/cifar10_densenet_bc_L40_k12_int8.onnx", folder / "int8.onnx")
    run = lambda *args: subprocess.run([densight, *args], cwd=folder, check=True, capture_output=True)
    run("prepare", "a.onnx", "--output", "prepared.densight")
    run("export", "--preset", "densenet-bc-40-12", "--num-classes", "7", "--output", "seven.onnx")
    (folder / "cut.onnx").write_bytes(model[: len(model) // 2])
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "junk.onnx").write_bytes(bytes(range(256)) * 40)
    bad = ["cut.onnx", "empty.onnx", "junk.onnx", "missing.onnx", "seven.onnx"]
    for path in sorted(hostile.glob("*/*.onnx")) if hostile else []:
        if path.parent.name != "00-good":
            shutil.copytree(path.parent, folder / path.parent.name, dirs_exist_ok=True)
            bad.append(f"{path.parent.name}/{path.name}")
    return ["a.onnx", "int8.onnx", "prepared.densight", "b.onnx"], bad


class Broker:
    """A mosquitto, and what is said on the topics of models."""

    def __init__(self, folder):
        self.port = free_port()
        (folder / "mosquitto.conf").write_text(f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.server = subprocess.Popen(
            [shutil.which("mosquitto", path="/usr/sbin:/usr/bin"), "-c", folder / "mosquitto.conf"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        time.sleep(1)
        self.listener = subprocess.Popen(
            ["mosquitto_sub", "-p", str(self.port), "-t", "densight/model"], stdout=subprocess.PIPE, text=True
        )
        self.answers = queue.Queue()
        threading.Thread(target=lambda: [self.answers.put(json.loads(line)) for line in self.listener.stdout], daemon=True).start()

    def ask(self, name):
        """What came of a request for a model: whether it runs, and what was said."""
        subprocess.run(
            ["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", "densight/command", "-m", f"model {name}"], check=True
        )
        while True:
            answer = self.answers.get(timeout=PATIENCE)
            if answer["asked"] == f"model {name}" and answer["state"] in ("swapped", "refused"):
                return answer["state"] == "swapped", answer

    def end(self):
        for child in (self.listener, self.server):
            child.kill()
            child.wait()


class Camera:
    """The program, while it runs."""

    def __init__(self, program, folder, broker):
        self.folder, self.broker, self.lines = folder, broker, queue.Queue()
        self.write("a.onnx")
        (folder / "labels.txt").write_text((ROOT / "models/cifar10_labels.txt").read_text())
        self.child = subprocess.Popen([program, "--config", "camera.toml"], cwd=folder, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.child.stderr], daemon=True).start()
        while not (folder / "records").exists() or (folder / "records").stat().st_size < 10_000:
            self.check()
            time.sleep(0.1)

    def check(self):
        if self.child.poll() is not None:
            fail("it ended early: " + "".join(self.lines.queue))

    def write(self, name):
        mqtt = f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker.port}"\ncommands = true\n' if self.broker else ""
        (self.folder / "camera.toml").write_text(
            f'input = "test://pattern"\noutputs = ["json://records", "file://newest.jpg", "http://127.0.0.1:0"]\n'
            f'no-pace = true\ninput-width = 320\ninput-height = 240\nmodel = "{name}"\nlabels = "labels.txt"\nmodels = "."\n'
            f"unknown-threshold = 1.0\n[swap]\nframes = 4\nslower = 50\nwait = {PATIENCE}\n[state]\nenter = 0.2\nhold = 0.0\n{mqtt}"
        )

    def reload(self, name):
        """What came of settings with this model: whether it runs, and what was said."""
        self.write(name)
        self.child.send_signal(signal.SIGHUP)
        while True:
            line = self.lines.get(timeout=PATIENCE)
            if line.startswith("settings: changed"):
                return True, line
            if line.startswith("warning: settings: "):
                return False, line

    def memory(self):
        """KiB of memory, threads, open files."""
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines())
        files = len(list(pathlib.Path(f"/proc/{self.child.pid}/fd").iterdir()))
        return int(status["VmRSS"].split()[0]), int(status["Threads"]), files


def check_records(path):
    """Frames, and models one after the other: all numbers in order, nothing lost."""
    frames, models = 0, []
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            if (record["sequence"], record["dropped"], record["lost"], record["skipped"]) != (frames, 0, 0, 0):
                fail(f"frame {frames} is {line}")
            frames += 1
            if not models or models[-1] != record["model_hash"]:
                models.append(record["model_hash"])
    return frames, models


def run(camera, good, bad, swaps):
    """Asks for one model after the other, and ends the camera."""
    asked, swapped, reasons, begin, first = [0, 0], 0, {}, time.time(), None
    names = itertools.chain.from_iterable(zip(itertools.cycle(good), itertools.cycle(bad)))
    for number, wanted in enumerate(itertools.islice(names, swaps)):
        by_broker = camera.broker is not None and number // 2 % 2 == 1
        try:
            runs, said = (camera.broker.ask if by_broker else camera.reload)(wanted)
        except queue.Empty:
            fail(f"{wanted}: no answer, by MQTT: {by_broker}")
        camera.check()
        text = json.dumps(said) if by_broker else said
        if runs != (wanted in good):
            fail(f"{wanted}: {text}")
        if not runs and wanted not in text:
            fail(f"{wanted} is not named: {text}")
        asked[by_broker] += 1
        swapped += runs
        if not runs:
            reasons[wanted] = said["reason"] if by_broker else said.split("refused: ", 1)[-1].strip()
        if number + 1 == max(1, swaps // 10):
            first = camera.memory()
    last, seconds = camera.memory(), time.time() - begin
    camera.child.send_signal(signal.SIGINT)
    if camera.child.wait(PATIENCE) != 130:
        fail("it did not end as it should")
    return asked, swapped, reasons, first, last, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/densight-camera")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--hostile", type=pathlib.Path, default=ROOT.parent / "shared/cases/hostile")
    args = parser.parse_args()
    program = args.program.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good, bad = make_models(folder, program.with_name("densight"), args.hostile if args.hostile.is_dir() else None)
        has_broker = shutil.which("mosquitto", path="/usr/sbin:/usr/bin") and shutil.which("mosquitto_sub")
        if not has_broker:
            print("SKIPPED: by MQTT, as mosquitto is not installed")
        broker = Broker(folder) if has_broker else None
        camera = Camera(program, folder, broker)
        try:
            asked, swapped, reasons, first, last, seconds = run(camera, good, bad, args.swaps)
        finally:
            camera.child.kill()
            camera.child.wait()
            if broker:
                broker.end()
        frames, models = check_records(folder / "records")
        print(f"{sum(asked)} requests in {seconds:.0f} s: {asked[0]} by SIGHUP, {asked[1]} by MQTT; {swapped} models put in, {sum(asked) - swapped} refused")
        print(f"{frames} frames, numbered without a gap, none lost; {len(models)} runs of frames by one model")
        print(f"after a tenth {first}, at the end {last} (KiB, threads, files)")
        for wanted, reason in sorted(reasons.items()):
            print(f"  {wanted}: {reason[:150]}")
        if last[0] - first[0] > GROWTH or last[1] > first[1] + 1 or last[2] > first[2] + 2:
            fail("it grows")


if __name__ == "__main__":
    main()
