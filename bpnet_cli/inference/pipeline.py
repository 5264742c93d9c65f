"""Work on a stream of items in several threads, with the results in order and little in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")


def core_count() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    items: Iterable[Item], work: Callable[[Item], Result], pool: Executor, ahead: int
) -> Generator[Result, None, None]:
    """work(item) for each item, in order.

    The items are read in a thread of their own, and `work` runs in the pool's threads. At most `ahead` items are read
    not taken yet. An error of `work` or of the items is raised when its item is due; the rest is
    then left. The same holds where the caller ends the iteration. After Ctrl-C, the results of work that has begun come
    first; then KeyboardInterrupt is raised.
    """
    places = threading.Semaphore(ahead)
    results: SimpleQueue[Future[Result] | None] = SimpleQueue()
    ended = threading.Event()

    def feed() -> None:
        try:
            for item in items:
                places.acquire()
                if ended.is_set():
                    break
                results.put(pool.submit(work, item))
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            failed: Future[Result] = Future()
            failed.set_exception(error)
            results.put(failed)
        finally:
            if hasattr(items, "close"):
                items.close()  # a generator has to be closed by the thread that runs it
            results.put(None)

    feeder = threading.Thread(target=feed, name="reader", daemon=True)
    feeder.start()
    due: Future[Result] | None = None
    try:
        while (due := results.get()) is not None:
            result, due = due.result(), None
            yield result
            places.release()
    except KeyboardInterrupt:
        ended.set()
        yield from _finished(due, results)
        raise
    finally:
        ended.set()
        places.release()
        feeder.join()


def _finished(due: Future[Result] | None, results: SimpleQueue[Future[Result] | None]) -> Iterator[Result]:
    """The results of all work that has begun, up to the first that failed. due: comes before those in the queue."""
    pending = [due]
    with suppress(Empty):
        while True:
            pending.append(results.get_nowait())
    futures = [future for future in pending if future is not None]
    waiting = [future for future in reversed(futures) if future.cancel()]
    for future in futures:
        if future in waiting:
            return
        try:
            yield future.result()
        except (Exception, KeyboardInterrupt):  # noqa: BLE001 - the first Ctrl-C is what is told
            return


def groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`; the last list may be shorter."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV runs each call in the calling thread, because the threads of a pool use all cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
