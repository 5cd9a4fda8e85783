"""`fingerprint`: the hash of a value by which files that depend on it are recognised."""

import hashlib
import json


def fingerprint(value: object) -> str:
    """sha256 of the canonical JSON form of `value` (sorted keys, no spaces, ASCII), 64 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
