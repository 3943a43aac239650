"""Which servers are compared, and how each is started."""

import re
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent
OURS = "tower-idempotency"
MANIFESTS = {"rust": "rust/Cargo.toml", "node": "node/package.json", "python": "python/requirements.txt"}


@dataclass(frozen=True)
class Row:
    name: str
    # The bare server that it is compared with.
    bare: str
    # The program of its language, and the name that the program knows it by.
    language: str
    kind: str
    needs_redis: tuple = ()

    def command(self, built):
        return {
            "rust": [built / "rust/release/idempotency-peers"],
            "node": ["node", PEERS / "node/server.js"],
            "python": [built / "python/bin/python", PEERS / "python/server.py"],
        }[self.language] + [self.kind]

    @property
    def is_bare(self):
        return self.name == self.bare

    @property
    def version(self):
        """Which version its manifest asks for; ours is the one beside it."""
        manifest = (PEERS / MANIFESTS[self.language]).read_text()
        asked = rf'^\W*{re.escape(self.name.lower())}"?\s*[:=]+\s*(?:\{{ version = )?"?=?([\d.]+)'
        found = re.search(asked, manifest, re.MULTILINE)
        return found[1] if found else None


ROWS = [
    Row("axum", "axum", "rust", "bare"),
    Row(OURS, "axum", "rust", "tower-idempotency"),
    Row("axum-idempotent", "axum", "rust", "axum-idempotent", needs_redis=(7, 4)),
    Row("express", "express", "node", "bare"),
    Row("express-idempotency", "express", "node", "express-idempotency"),
    Row("@node-idempotency/core", "express", "node", "node-idempotency"),
    Row("FastAPI", "FastAPI", "python", "bare"),
    Row("asgi-idempotency-header", "FastAPI", "python", "asgi-idempotency-header"),
    Row("mobius-idempotence-library", "FastAPI", "python", "mobius"),
]
