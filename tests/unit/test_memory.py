import numpy as np

from bpnet_cli.data.memory import BatchMemory


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def test_memory_is_lent_again_after_its_last_view() -> None:
    memory = BatchMemory()
    first = memory.lend((4, 5, 3))
    place, view = address(first), first[1:, ::2]
    assert place % 64 == 0
    del first
    second = memory.lend((4, 5, 3))
    assert address(second) != place
    view[:] = 7
    second[:] = 8
    assert (view == 7).all()
    del view
    assert address(memory.lend((4, 5, 3))) == place


def test_another_size_gets_memory_of_that_size() -> None:
    memory = BatchMemory()
    memory.lend((4, 5, 3))
    larger = memory.lend((400, 5, 3))
    assert larger.shape == (400, 5, 3)
    larger[:] = 1
    assert larger.dtype == np.uint8
