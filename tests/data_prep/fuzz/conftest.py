"""Shared by the fuzz tests: damaging of content, and the requirements on any reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from pc_ssl.errors import UserError

SLOWEST_S = 5.0  # of processor time, as cores are shared; waiting is limited by pytest's timeout
MOST_BYTES = 1_000_000_000
WORTHLESS = ("9999999999", "-1", "1e309", "nan", "", "\x00", "4294967296", "../../../etc/passwd")


@pytest.fixture
def judge() -> Callable[..., None]:
    """`judge(work, *arguments)`: it succeeds or raises a one-line UserError, within bounded time and memory."""

    def judged(work: Callable[..., Any], *arguments: Any) -> None:
        message = "fine"
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before, begin = memory("VmRSS"), time.process_time()
        try:
            work(*arguments)
        except UserError as error:
            message = str(error)
        assert len(message.splitlines()) == 1, message
        assert time.process_time() - begin < SLOWEST_S
        assert memory("VmHWM") - before < MOST_BYTES

    return judged


def memory(field: str) -> int:
    """Bytes used by this process: VmRSS now, VmHWM at the peak since the last reset."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith(field)).split()[1])


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    kind = draw(st.sampled_from(["cut", "flip", "insert", "repeat", "number", "header"]))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        return content[:place]
    if kind == "insert":
        return content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]
    if kind == "repeat":
        return content[:place] + content
    if kind == "number":  # four or eight bytes of a count, a size or an offset
        size = draw(st.sampled_from([1, 2, 4, 8]))
        value = draw(st.sampled_from([0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, 1000, 2 ** (4 * size)]))
        return content[:place] + (value % 2 ** (8 * size)).to_bytes(size, "little") + content[place + size :]
    if kind == "header":  # a word of text
        words = content[:2000].split(b" ")
        at = draw(st.integers(0, len(words) - 1))
        words[at] = draw(st.sampled_from(WORTHLESS)).encode()
        return b" ".join(words) + content[2000:]
    flipped = bytearray(content)
    near = draw(st.booleans())  # damage in the header is more effective
    for _ in range(draw(st.integers(1, 20))):
        if flipped:
            last = min(len(flipped), 300) if near else len(flipped)
            flipped[draw(st.integers(0, last - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(flipped)


@pytest.fixture
def damaged() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """`damaged(content)` draws truncated content, or content with flipped bits, inserted bytes, or replaced counts."""
    return _damaged
