"""What stands in front of the handler: each library as its documentation shows it. Each gives the handler of the route."""

from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends import RedisBackend as HeaderBackend
from mobius_idempotence import IdempotencyConfig, IdempotencyManager, idempotent
from mobius_idempotence.backends.redis import RedisBackend as MobiusBackend
from redis.asyncio import Redis


def bare(_app, _url, charge):
    return charge


def asgi_idempotency_header(app, url, charge):
    app.add_middleware(IdempotencyHeaderMiddleware, backend=HeaderBackend(redis=Redis.from_url(url)))
    return charge


def mobius(_app, url, charge):
    # Its pool of 50 connections, the default, refuses the 51st request in flight; the load has 64.
    backend = MobiusBackend(url, max_connections=128)
    manager = IdempotencyManager(backend, IdempotencyConfig(fail_open=False))
    return idempotent(manager, status_code=201)(charge)


LAYERS = {"bare": bare, "asgi-idempotency-header": asgi_idempotency_header, "mobius": mobius}
