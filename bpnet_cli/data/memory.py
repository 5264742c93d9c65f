"""Reuse of batch buffers.

The kernel clears new memory pages. For the pages of a batch, this takes as long as loading a few photos.
"""

from __future__ import annotations

import weakref
from collections import deque
from math import prod

import numpy as np
from numpy.typing import NDArray

# In bytes. TensorFlow uses an array without a copy if its address is a multiple of this.
_ALIGNMENT = 64
# How many unused buffers are kept. A pipeline works on about as many batches at once.
_MOST_UNUSED = 8


class BatchMemory:
    """Lends uint8 arrays. The memory of an array is lent again when no reference to the array or its views is left."""

    def __init__(self) -> None:
        self._unused: deque[NDArray[np.uint8]] = deque(maxlen=_MOST_UNUSED)

    def lend(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A uint8 array of this shape with undefined contents."""
        size = prod(shape)
        try:
            memory = self._unused.pop()
        except IndexError:
            memory = np.empty(0, np.uint8)
        if memory.size != size + _ALIGNMENT:
            memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        # A numpy view refers to the array that owns the memory. `lent` is made from a buffer, so `lent` is that owner.
        # It lives as long as its last view; only then may the memory be lent again.
        lent = np.frombuffer(memory.data[start : start + size], np.uint8)
        # At exit, the array may still be in use, and the memory need not come back.
        weakref.finalize(lent, self._unused.append, memory).atexit = False
        return lent.reshape(shape)
