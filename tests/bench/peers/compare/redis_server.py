"""The one Redis server of all peers, and what is asked of it."""

import socket
import subprocess

from process import CannotRun, Process, until

# What clients send for themselves.
HOUSEKEEPING = {"AUTH", "CLIENT", "COMMAND", "CONFIG", "ECHO", "HELLO", "INFO", "MONITOR", "PING", "ROLE", "SCRIPT", "SELECT"}


def version_of(program):
    """The version of a Redis program, as numbers."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"{program} cannot be run: {error}") from error
    return tuple(int(part) for part in said.split("v=")[1].split()[0].split("."))


class Redis(Process):
    """A server without persistence, on a port of its own."""

    def __init__(self, program, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.version = version_of(program)
        super().__init__([program, "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], log)
        self.url = f"redis://127.0.0.1:{self.port}"
        until("Redis to answer", self._answers)
        self.connection = Connection(self.port)

    def _answers(self):
        try:
            return Connection(self.port).call("PING") == "PONG"
        except OSError:
            return False

    def empty(self):
        """Forgets all keys; scripts stay."""
        self.connection.call("FLUSHALL")

    def calls(self):
        """How often each command has been executed, those of scripts included."""
        lines = self.connection.call("INFO", "commandstats").splitlines()
        calls = {}
        for line in lines:
            if line.startswith("cmdstat_"):
                name, fields = line.removeprefix("cmdstat_").split(":", 1)
                calls[name] = int(fields.split(",")[0].removeprefix("calls="))
        return calls

    def clients(self):
        """The addresses of all clients."""
        lines = self.connection.call("CLIENT", "LIST").splitlines()
        return {word.removeprefix("addr=") for line in lines for word in line.split() if word.startswith("addr=")}

    def commands_of(self, action, others):
        """The commands that are sent while an action runs, in their order, by clients that are none of the others."""
        monitor = Connection(self.port)
        monitor.call("MONITOR")
        action()
        self.connection.call("ECHO", "the-action-is-over")
        names = []
        while True:
            line = monitor.line()
            if "the-action-is-over" in line:
                monitor.close()
                return names
            head, command = line.split("] ", 1)
            source = head.split()[-1]
            name = command.split('"')[1].upper()
            # Those of scripts have no address.
            if source != "lua" and source not in others and name not in HOUSEKEEPING:
                names.append(name)


class Connection:
    """A connection that speaks RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        parts = [str(word).encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(request)
        return self.reply()

    def line(self):
        return self.file.readline().decode(errors="replace").rstrip("\r\n")

    def reply(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise CannotRun(f"Redis refuses: {rest}")
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode(errors="replace")
        return int(rest) if kind == ":" else rest

    def close(self):
        self.file.close()
        self.socket.close()
