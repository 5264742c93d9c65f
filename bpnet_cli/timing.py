"""Timing networks in turns, so that their times are comparable on a machine that also does other work."""

from __future__ import annotations

import time
from collections.abc import Callable

# Pause before a turn, seconds. The threads of the previous network spin (busy-wait for work) for tens of milliseconds,
# on half of the cores.
_PAUSE = 0.1


def timed_turn(run: Callable[[int], object], first: int, counted: int, skipped: int) -> list[float]:
    """Seconds of each of `counted` runs: run(first), run(first + 1), ...

    Before them come a pause and `skipped` runs that aren't counted. These bring the network back into the caches.
    """
    time.sleep(_PAUSE)
    for number in range(first, first + skipped):
        run(number)
    seconds = []
    for number in range(first, first + counted):
        start = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - start)
    return seconds
