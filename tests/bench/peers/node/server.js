// One Express server of the comparison: `node server.js bare|express-idempotency|node-idempotency`.
//
// REDIS_URL names the Redis server, DELAY_MS how long the handler takes.
"use strict";

const express = require("express");
const layers = require("./layers");

const MEMO = "m".repeat(102);
const delay = Number(process.env.DELAY_MS || 0);
let runs = 0;

async function charge(req, res) {
  runs += 1;
  if (delay > 0) {
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
  const { amount, currency } = req.body;
  res.status(201).json({ id: "5d9c68c6c50ed3d02a2fcf54f63993b6", amount, currency, status: "paid", memo: MEMO });
}

async function main() {
  const layer = layers[process.argv[2]];
  if (!layer) {
    throw new Error(`name a server: ${Object.keys(layers).join(", ")}`);
  }
  const app = express();
  app.get("/runs", (_req, res) => res.send(String(runs)));
  app.use(express.json());
  app.post("/charges", ...(await layer(process.env.REDIS_URL, charge)));
  const server = app.listen(0, "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}

main();
