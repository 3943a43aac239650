"""What each peer does not do, found by experiment on a handler that takes its time."""

import http.client
import json
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

# How long the handler takes.
DELAY = 0.5
DUPLICATES = 20
# Who does not claim in one step is lucky now and then.
BURSTS = 10


def post(port, key, amount=1200, together=None):
    """One request of a client that does nothing else, sent at once or together with others; its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    fields = {"Content-Type": "application/json", "Idempotency-Key": key, "Authorization": "Bearer 3f1c7a"}
    body = json.dumps({"amount": amount, "currency": "EUR", "note": "n" * 22}, separators=(",", ":"))
    try:
        if together:
            connection.connect()
            together.wait()
        connection.request("POST", "/charges", body, fields)
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError:
        return 0
    finally:
        connection.close()


def runs(port):
    """How often the handler has run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/runs")
    number = int(connection.getresponse().read())
    connection.close()
    return number


def commands(server, redis, others):
    """The Redis commands of one first request and of one replay."""

    def request(key):
        post(server.port, key)
        # Some record the answer after it was sent.
        time.sleep(0.1)

    request(str(uuid.uuid4()))
    keys = [str(uuid.uuid4()) for _ in range(3)]
    # What a client sends for itself now and then comes on top; the shortest has none of it.
    return tuple(min((redis.commands_of(lambda: request(key), others) for key in keys), key=len) for _ in range(2))


def burst(server):
    """How often the handler runs for concurrent requests with one key, and what they are answered."""
    key, before = str(uuid.uuid4()), runs(server.port)
    together = threading.Barrier(DUPLICATES)
    with ThreadPoolExecutor(DUPLICATES) as pool:
        answers = Counter(pool.map(lambda _: post(server.port, key, together=together), range(DUPLICATES)))
    return runs(server.port) - before, dict(answers)


def other_body(server):
    """What a request is answered that has the key of another, and whether the handler ran for it."""
    key = str(uuid.uuid4())
    post(server.port, key)
    time.sleep(0.1)
    before = runs(server.port)
    status = post(server.port, key, amount=9900)
    return status, runs(server.port) - before


def late_answer(server, redis):
    """Whether the answer of a request that has lost its claim is recorded over the claim of its successor.

    The claim is lost as by an eviction or a failover: the key is gone. A second request claims it, and while that one still
    runs, the first completes. A third request tells what is recorded then: it is refused if it is the second's claim.
    """
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, server.port, key)
        time.sleep(DELAY * 0.4)
        redis.empty()
        second = pool.submit(post, server.port, key)
        first.result()
        time.sleep(0.1)
        third = post(server.port, key)
        second.result()
    return third


def examine(server, redis):
    """All experiments on one server."""
    redis.empty()
    ran, answers = max((burst(server) for _ in range(BURSTS)), key=lambda found: found[0])
    mismatch, ran_again = other_body(server)
    return {
        "runs_of_duplicates": ran,
        "answers_to_duplicates": answers,
        "other_body": mismatch,
        "other_body_ran": bool(ran_again),
        "late_answer": late_answer(server, redis),
    }
