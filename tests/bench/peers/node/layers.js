// What stands in front of the handler: each library as its documentation shows it. Each gives the handlers of a route.
"use strict";

const { Idempotency, IdempotencyErrorCodes } = require("@node-idempotency/core");
const { RedisStorageAdapter } = require("@node-idempotency/storage-adapter-redis");
const expressIdempotency = require("express-idempotency");
const ExpressRedisAdapter = require("express-idempotency-redis-adapter").default;

async function bare(_redis, charge) {
  return [charge];
}

async function withExpressIdempotency(url, charge) {
  const dataAdapter = new ExpressRedisAdapter({ connectionConfig: { url } });
  await dataAdapter.connect();
  const layer = expressIdempotency.idempotency({ dataAdapter });
  // The library calls the handler for a replay too, and asks it to look.
  const handler = (req, res) => {
    if (!expressIdempotency.getSharedIdempotencyService().isHit(req)) {
      return charge(req, res);
    }
  };
  return [layer, handler];
}

const STATUS = {
  [IdempotencyErrorCodes.REQUEST_IN_PROGRESS]: 409,
  [IdempotencyErrorCodes.IDEMPOTENCY_FINGERPRINT_MISSMATCH]: 422,
};

async function withNodeIdempotency(url, charge) {
  const storage = new RedisStorageAdapter({ url });
  await storage.connect();
  const idempotency = new Idempotency(storage, {});

  async function layer(req, res, next) {
    const request = { method: req.method, headers: req.headers, body: req.body, path: req.path };
    let stored;
    try {
      stored = await idempotency.onRequest(request);
    } catch (error) {
      res.status(STATUS[error.code] || 400).json({ error: error.message });
      return;
    }
    if (stored) {
      res.status(stored.additional.status).set("Idempotent-Replayed", "true").type("json").send(stored.body);
      return;
    }
    const send = res.send.bind(res);
    res.send = (body) => {
      res.send = send;
      const response = { body, additional: { status: res.statusCode } };
      idempotency.onResponse(request, response).then(() => send(body), next);
      return res;
    };
    next();
  }

  return [layer, charge];
}

module.exports = {
  bare,
  "express-idempotency": withExpressIdempotency,
  "node-idempotency": withNodeIdempotency,
};
