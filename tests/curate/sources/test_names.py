"""File names as text."""

import numpy as np
import pytest

from curate.sources import decode_name, encode_name


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a/b.jpg", "a/b.jpg"),
        ("李/a b.jpg".encode(), "李/a b.jpg"),
        (b"caf\xe9/1.jpg", "caf%E9/1.jpg"),
        (b"100%.jpg", "100%.jpg"),
        (b"a%20b.jpg", "a%2520b.jpg"),
        (b"caf%E9.jpg", "caf%25E9.jpg"),
        (b"%%41.jpg", "%%2541.jpg"),
        (b"two\nlines\x00.jpg", "two%0Alines%00.jpg"),
        (b"\xed\xa0\x80.jpg", "%ED%A0%80.jpg"),
    ],
)
def test_names_are_text_and_are_restored(raw: bytes, text: str) -> None:
    assert encode_name(raw) == text
    assert decode_name(text) == raw
    text.encode("utf-8")


def test_random_names_are_restored() -> None:
    generator = np.random.default_rng(0)
    names = {}
    for _ in range(3000):
        raw = bytes(generator.choice(list(b"%0aF\xc3\xa9\xff.\n"), int(generator.integers(1, 7))).tolist())
        assert decode_name(encode_name(raw)) == raw
        assert names.setdefault(encode_name(raw), raw) == raw
