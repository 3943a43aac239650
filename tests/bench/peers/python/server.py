"""One FastAPI server of the comparison: `python server.py bare|asgi-idempotency-header|mobius`.

REDIS_URL names the Redis server, DELAY_MS how long the handler takes.
"""

import asyncio
import os
import socket
import sys

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

import layers

MEMO = "m" * 102
DELAY = float(os.environ.get("DELAY_MS", 0)) / 1000
runs = 0


class Payment(BaseModel):
    amount: int
    currency: str


async def charge(payment: Payment):
    global runs
    runs += 1
    if DELAY > 0:
        await asyncio.sleep(DELAY)
    return {
        "id": "5d9c68c6c50ed3d02a2fcf54f63993b6",
        "amount": payment.amount,
        "currency": payment.currency,
        "status": "paid",
        "memo": MEMO,
    }


async def count():
    return Response(str(runs))


def main():
    layer = layers.LAYERS[sys.argv[1]]
    app = FastAPI()
    app.get("/runs")(count)
    app.post("/charges", status_code=201)(layer(app, os.environ.get("REDIS_URL"), charge))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


main()
