#!/usr/bin/env python3
"""Classes are taught by keys, in a terminal: densight-camera in a pseudo-terminal of its own.

    tests/boards/keys.py [FOLDER OF PROGRAMS]          # target/release

Also that the terminal is as before at the end, after Ctrl-C too, and that the program is not stopped in the background.
"""

import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

programs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release")
folder = pathlib.Path(tempfile.mkdtemp(prefix="densight-keys-"))
FLAGS = termios.ICANON | termios.ECHO


def check(what, holds):
    if not holds:
        sys.exit(f"not so: {what}")
    print(f"ok: {what}")


class Program:
    """The program, whose terminal is this one's other end."""

    def __init__(self, *options, in_front=True):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)[3] & FLAGS
        self.told = ""

        def session():
            os.setsid()
            import fcntl

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if not in_front:
                # Another group of the session has the terminal.
                other = os.fork()
                if other == 0:
                    os.setpgid(0, 0)
                    os.execvp("sleep", ["sleep", "60"])
                time.sleep(0.2)
                signal.signal(signal.SIGTTOU, signal.SIG_IGN)
                os.tcsetpgrp(0, other)
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)

        command = [programs / "densight-camera", "test://pattern", "null://", "--teach", folder / "pictures", *options]
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=subprocess.DEVNULL, stderr=self.slave, preexec_fn=session
        )

    def read(self):
        while select.select([self.master], [], [], 0.05)[0]:
            self.told += os.read(self.master, 4096).decode(errors="replace")

    def until(self, words, longest=60):
        end = time.monotonic() + longest
        while words not in self.told:
            self.read()
            if time.monotonic() > end:
                sys.exit(f"waited too long for {words!r}: {self.told}")
        self.told = self.told.split(words, 1)[1]

    def press(self, keys, words=None):
        os.write(self.master, keys.encode())
        if words:
            self.until(words)

    def modes(self):
        return termios.tcgetattr(self.slave)[3] & FLAGS


program = Program()
program.until("? help")
end = time.monotonic() + 10
while program.modes() & FLAGS and time.monotonic() < end:
    time.sleep(0.05)
check("keys are read one by one", program.modes() == 0)
program.press("1", "there is no class 1: n makes one")
program.press("nbär", "bär")
program.press("\r", "1 bär (0)")
program.press("nleer\r", "2 leer (0)")
for digit in "12":
    for number in range(1, 7):
        program.press(digit, f": picture {number}")
        time.sleep(0.4)
program.press("\x1b[A\x1b[5~")
program.press("u", "the last picture was removed")
program.press("?", "1 bär (6), 2 leer (5)")
program.press("y", "there is no taught model to try")
program.press("t", "taught  ")
program.press("y", "the taught model: changed")
program.press("r", "right")
program.press("k", "it stays")
check("the model was kept", (folder / "pictures/taught.onnx").exists())
check("the pictures are in folders", len(list((folder / "pictures/bär").iterdir())) == 6)
program.press("\x03")
check("Ctrl-C ends it", program.process.wait(10) == 130)
check("the terminal is as before", program.modes() == program.before)

program = Program("--duration", "3", in_front=False)
check("in the background it is not stopped", program.process.wait(30) == 0)
check("and the terminal is left alone", program.modes() == program.before)
print("all is well")
