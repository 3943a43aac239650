"""Drives each server in turn, in rounds, and prints the table."""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import guards
import table
from load import Generator
from process import CannotRun, HttpServer
from redis_server import Redis
from rows import ROWS


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/peers/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each server is driven")
    parser.add_argument("--seconds", type=float, default=3, help="how long each load is put on")
    parser.add_argument("--connections", type=int, default=64, help="how many connections, each with one request in flight")
    parser.add_argument("--only", action="append", metavar="NAME", help="only these servers and the bare ones of theirs")
    parser.add_argument("--built", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--redis", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def start(row, redis, built, delay=0.0):
    """A server of a row. Only those of the same Redis and the same handler are comparable."""
    if redis.version < row.needs_redis:
        needed, found = (".".join(map(str, version)) for version in (row.needs_redis, redis.version))
        raise CannotRun(f"it needs Redis {needed}; this is {found}")
    environment = {"REDIS_URL": redis.url, "DELAY_MS": str(int(delay * 1000)), "NODE_ENV": "production"}
    environment["NODE_PATH"] = str(built / "node/node_modules")
    log = built / f"{row.name.replace('/', '-')}.log"
    return HttpServer(row.command(built), log, environment)


def chosen(only):
    names = set(only or [row.name for row in ROWS])
    if unknown := names - {row.name for row in ROWS}:
        sys.exit(f"there is no {', '.join(unknown)}; there are {', '.join(row.name for row in ROWS)}")
    names |= {row.bare for row in ROWS if row.name in names}
    return [row for row in ROWS if row.name in names]


class Comparison:
    def __init__(self, options, redis, stack):
        self.options, self.redis, self.stack = options, redis, stack
        self.generator = Generator(options.load, options.seconds, options.connections)
        rows = chosen(options.only)
        self.results = {row.name: {"bare": row.bare, "version": row.version, "rounds": []} for row in rows}
        self.servers = {}

    def attempt(self, row, action):
        """Does something with a row, unless it has failed before; notes why it fails."""
        result = self.results[row.name]
        if "cannot_run" in result:
            return
        try:
            action(row, result)
        except (CannotRun, OSError) as error:
            result["cannot_run"] = str(error)
            say(f"{row.name} cannot be run: {error}")

    def start(self, row, result):
        others = self.redis.clients()
        server = start(row, self.redis, self.options.built)
        self.stack.callback(server.stop)
        self.servers[row.name] = server
        if (status := guards.post(server.port, "a-first-request")) != 201:
            raise CannotRun(f"it answers {status} instead of 201")
        if not row.is_bare:
            result["commands_first"], result["commands_replay"] = guards.commands(server, self.redis, others)

    def drive(self, row, result):
        server = self.servers[row.name]
        phases = {"first": self.generator.first(server, self.redis)}
        if not row.is_bare:
            before = guards.runs(server.port)
            replays = phases["replay"] = self.generator.replays(server, self.redis)
            replays["executed_again"] = guards.runs(server.port) - before - replays["primed"]
        result["rounds"].append(phases)
        rates = ", ".join(f"{name} {phase['per_second']:,.0f}/s" for name, phase in phases.items())
        say(f"round {len(result['rounds'])}: {row.name}: {rates}")

    def examine(self, row, result):
        if row.is_bare:
            return
        server = start(row, self.redis, self.options.built, guards.DELAY)
        try:
            result["guards"] = guards.examine(server, self.redis)
        finally:
            server.stop()

    def run(self, rows):
        for row in rows:
            self.attempt(row, self.start)
        for round_number in range(self.options.rounds):
            # Each round begins elsewhere, so that a slow stretch of the machine does not always meet the same row.
            turn = round_number % len(rows)
            for row in rows[turn:] + rows[:turn]:
                self.attempt(row, self.drive)
        for row in rows:
            self.attempt(row, self.examine)


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    options = arguments()
    # What else runs here is no peer's doing, but it is in all figures.
    busy = os.getloadavg()[0]
    with ExitStack() as stack:
        redis = Redis(options.redis, options.built / "redis.log")
        stack.callback(redis.stop)
        comparison = Comparison(options, redis, stack)
        comparison.run(chosen(options.only))
        version = ".".join(map(str, redis.version))
    report = {
        "redis": version,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "cores": os.cpu_count(),
        "load_before": busy,
        "servers": comparison.results,
    }
    options.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    text = table.markdown(report)
    options.out.with_suffix(".md").write_text(text)
    print(text)


main()
