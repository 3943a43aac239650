"""A server as a child process: started, measured, ended."""

import os
import subprocess
import time
from pathlib import Path


class CannotRun(Exception):
    """Why a server cannot be run, in a sentence."""


class Process:
    """A child. Its standard error goes to a file of its own."""

    def __init__(self, command, log, environment=None):
        self.log = Path(log)
        with self.log.open("w") as errors:
            try:
                self.child = subprocess.Popen(
                    [str(word) for word in command],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env={**os.environ, **(environment or {})},
                )
            except OSError as error:
                raise CannotRun(f"{Path(command[0]).name}: {error.strerror}") from error

    def cpu(self):
        """Seconds of CPU that all threads have had."""
        nanos = 0
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            try:
                nanos += int((task / "schedstat").read_text().split()[0])
            except OSError:  # The thread has ended.
                continue
        return nanos / 1e9

    def complaint(self):
        """What it has said of an error, in a line."""
        lines = self.log.read_text().strip().splitlines() or ["nothing"]
        return next((line for line in lines if "Error" in line), lines[-1])[:200]

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class HttpServer(Process):
    """A child that prints `listening on http://127.0.0.1:PORT` once it serves."""

    def __init__(self, command, log, environment=None):
        super().__init__(command, log, environment)
        line = self.child.stdout.readline()
        if not line.startswith("listening on http://"):
            self.child.wait()
            raise CannotRun(f"it did not start and said: {self.complaint()}")
        self.port = int(line.rsplit(":", 1)[1])


def until(what, condition, seconds=20):
    """Waits until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CannotRun(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)
