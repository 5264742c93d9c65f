"""Memory that is used again: the kernel has to clear fresh pages, which for a batch costs as much as a few photos."""

from __future__ import annotations

import weakref
from collections import deque
from math import prod

import numpy as np
from numpy.typing import NDArray

# TensorFlow takes an array over as it is where it begins at a multiple of this, and copies it otherwise.
_ALIGNMENT = 64
# Unused batches that are kept; a pipeline has about as many under way.
_MOST_UNUSED = 8


class BatchMemory:
    """Lends uint8 arrays; an array's memory is lent again once nothing refers to the array or a view of it any more."""

    def __init__(self) -> None:
        self._unused: deque[NDArray[np.uint8]] = deque(maxlen=_MOST_UNUSED)

    def lend(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """An array of this shape with any contents."""
        size = prod(shape)
        try:
            memory = self._unused.pop()
        except IndexError:
            memory = np.empty(0, np.uint8)
        if memory.size != size + _ALIGNMENT:
            memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        # numpy lets a view refer to the array that owns the memory. Made from a buffer, `lent` is that owner: it lives
        # until its last view is gone, and only then may the memory be lent again.
        lent = np.frombuffer(memory.data[start : start + size], np.uint8)
        # At exit it may still be in use, and need not come back.
        weakref.finalize(lent, self._unused.append, memory).atexit = False
        return lent.reshape(shape)
