"""Work in several threads with results in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from bpnet_cli.inference.pipeline import groups, in_order
from bpnet_cli.signals import handled


def test_results_come_in_order_and_errors_in_their_place() -> None:
    def work(i: int) -> int:
        time.sleep(0.01 * (i % 3 == 0))
        if i == 5:
            raise ValueError("five")
        return 10 * i

    with ThreadPoolExecutor(3) as pool:
        stream = in_order(range(9), work, pool, 4)
        assert [next(stream) for _ in range(5)] == [0, 10, 20, 30, 40]
        with pytest.raises(ValueError, match="five"):
            next(stream)


def test_few_items_are_read_ahead_and_a_generator_is_closed_where_it_runs() -> None:
    taken: list[int] = []
    ended: list[threading.Thread] = []

    def items() -> Iterator[int]:
        try:
            for i in range(1000):
                taken.append(i)
                yield i
        finally:
            ended.append(threading.current_thread())

    with ThreadPoolExecutor(2) as pool:
        with closing(in_order(items(), lambda i: i, pool, 3)) as stream:
            assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
            time.sleep(0.1)
            assert len(taken) <= 4 + 3 + 1
        assert len(ended) == 1
        assert ended[0] is not threading.main_thread()


def test_an_error_of_the_items_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with ThreadPoolExecutor(2) as pool:
        stream = in_order(items(), lambda i: -i, pool, 3)
        assert next(stream) == -1
        with pytest.raises(OSError, match="no more"):
            next(stream)


def test_one_stream_may_feed_another_of_the_same_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        first = in_order(range(50), lambda i: i + 1, pool, 2)
        assert list(in_order(first, lambda i: 2 * i, pool, 2)) == [2 * (i + 1) for i in range(50)]


@pytest.mark.usefixtures("own_stack")
def test_ctrl_c_keeps_the_work_that_has_begun() -> None:
    began = threading.Event()

    def work(i: int) -> int:
        if i == 3:
            began.set()
            time.sleep(0.2)  # runs on while Ctrl-C comes
        return i

    taken = []
    ending = handled((signal.SIGTERM,), signal.default_int_handler)  # as in the command; pytest's workers ignore SIGINT
    with ending, ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        for result in in_order(range(100), work, pool, 6):
            taken.append(result)
            if result == 2:
                assert began.wait(5)
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert taken == [0, 1, 2, 3]


def test_groups() -> None:
    assert list(groups(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(groups([], 3)) == []
