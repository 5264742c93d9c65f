"""The training pipeline without TensorFlow: threads make the same batches as `pipeline.make_pipeline`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
from numpy.typing import NDArray

from bpnet_cli.data.pipeline import MOST_WORKERS, SampleLoader, label_names

# How many batches are ready or queued, in addition to one batch per worker.
_AHEAD = 2


def thread_batches(
    loader: SampleLoader, batch_size: int, *, start: int = 0, step: int | None = None, workers: int | None = None
) -> Iterator[tuple[NDArray[Any], dict[str, NDArray[Any]]]]:
    """Endless batches (images, labels) from stream position `start` on; see `make_pipeline` for arrays and arguments.

    Raises the loader's BpnetError if a photo can't be read. Decoding and warping release the interpreter's lock, so
    threads use all cores.
    """
    step = step or batch_size
    calls = workers or min(os.cpu_count() or 1, MOST_WORKERS)
    names = label_names(loader)
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(calls, thread_name_prefix="bpnet-loader")
    waiting: deque[Future[tuple[NDArray[Any], ...]]] = deque()
    position = start
    try:
        while True:
            while len(waiting) < calls + _AHEAD:
                waiting.append(pool.submit(loader.load_batch, batch_size, position, step))
                position += step
            image, *labels = waiting.popleft().result()
            yield image, dict(zip(names, labels, strict=True))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
