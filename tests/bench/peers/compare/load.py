"""The load, put on by the generator of the benchmarks, and what it cost."""

import json
import subprocess

from process import CannotRun

# Replays are of so many answers, in turn.
REPLAYED_KEYS = 1000


class Generator:
    def __init__(self, program, seconds, connections):
        self.program, self.seconds, self.connections = program, seconds, connections
        self.seed = 0

    def first(self, server, redis):
        """Requests whose keys are all new."""
        return self._measure(server, redis, "unique")

    def replays(self, server, redis):
        """Requests whose answers are there."""
        return self._measure(server, redis, f"repeated:{REPLAYED_KEYS}")

    def _measure(self, server, redis, keys):
        redis.empty()
        self.seed += 1
        child = self._start(server.port, keys)
        if child.stdout.readline().strip() != "ready":
            raise CannotRun(f"the load generator failed: {child.communicate()[1].strip()[-200:]}")
        before = (server.cpu(), redis.cpu(), sum(redis.calls().values()))
        output, errors = child.communicate("go\n")
        after = (server.cpu(), redis.cpu(), sum(redis.calls().values()))
        if child.returncode != 0:
            raise CannotRun(f"the load generator failed: {errors.strip()[-200:]}")
        report = json.loads(output)
        cpu, redis_cpu, calls = (end - begin for begin, end in zip(before, after))
        requests = report["requests"]
        return {
            "per_second": report["per_second"],
            "p50_us": report["latency"]["p50"],
            "p99_us": report["latency"]["p99"],
            "server_cpu_us": cpu / requests * 1e6,
            "redis_cpu_us": redis_cpu / requests * 1e6,
            # Those inside of scripts included, and this program's INFO.
            "redis_calls": calls / requests,
            "failures": report["failures"],
            # Keys that were sent once before, to have something to replay.
            "primed": REPLAYED_KEYS if keys != "unique" else 0,
            "requests": requests,
        }

    def _start(self, port, keys):
        words = ["--address", f"127.0.0.1:{port}", "--connections", self.connections, "--seconds", self.seconds]
        words += ["--warm-up", 1, "--keys", keys, "--body", 64, "--path", "/charges", "--seed", self.seed]
        pipe = subprocess.PIPE
        command = [str(word) for word in [self.program, *words]]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
