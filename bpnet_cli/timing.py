"""Networks timed in turns, which makes them comparable on a machine that other work shares."""

from __future__ import annotations

import time
from collections.abc import Callable

# Before a turn: threads of the network before it look out for work for tens of milliseconds, on half of the cores.
_PAUSE = 0.1  # seconds


def timed_turn(run: Callable[[int], object], first: int, counted: int, skipped: int) -> list[float]:
    """Seconds of each of `counted` runs: run(first), run(first + 1), ...

    Before them there are a pause and `skipped` runs that aren't counted, which bring the network back into the caches.
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
