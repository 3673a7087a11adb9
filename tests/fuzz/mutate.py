"""Small changes of a seed: bytes, numbers, pieces of other seeds, words that parsers know."""

from __future__ import annotations

import random
from collections.abc import Sequence

WORDS = [
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\n\n", b"\t",
    b'"', b"'", b"''", b"`", b"\\", b"\\ud800", b"\\u0000",
    b"[", b"{", b"]", b"}", b"(", b")", b",",
    b":", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"9" * 30, b"9" * 5000, b"null", b"true",
    b"[" * 2000, b"(" * 100, b"NOT ", b" AND ", b" OR ", b" IN ", b"$in", b"$not", b"<!--",
    b"<div>",
    b"</", b"&#xd800;", b"<meta charset=utf-7>", b"endstream", b"0 R", b"/Kids", b"/Length", b"<<",
    "e\u0301\u200d".encode(), "🇩".encode(), "。".encode(), "İ".encode(), "\u2028".encode(),
]  # fmt: skip
LONGEST = 20_000


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed after a few random changes; sometimes nothing of it is left."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:at] = bytes([chance.randrange(256)])
        elif kind == 2:
            del data[at : at + chance.choice((1, 2, 4, 50))]
        elif kind == 3:
            data[at : at + chance.choice((0, 1, 4))] = chance.choice(WORDS)
        elif kind == 4:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.choice((1, 8, 200))]
        elif kind == 5:
            other = chance.choice(seeds)
            data[at:] = other[chance.randrange(len(other) + 1) :]
        elif kind == 6:
            data[at : at + 4] = chance.choice((0, 1, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
        else:
            data[at : at + 8] = chance.choice((0, 2**40, 2**63 - 1, 2**64 - 1)).to_bytes(
                8, "little"
            )
    return bytes(data[: max(LONGEST, len(seeds[0]) + 1000)])
