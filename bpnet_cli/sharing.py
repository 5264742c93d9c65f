"""How a workflow hands its work to other processes. The engines are in `scale`; a workflow only knows these types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

# What a process does with an item; it gives the item's result.
Work = Callable[[Any], Any]
# share(make, arguments, items): each process makes its `Work` by make(*arguments); yields the results of the items in
# the order in which they are finished. A lost process' items are done again by another one.
ShareOut = Callable[[Callable[..., Work], Sequence[Any], Sequence[Any]], Iterator[Any]]
