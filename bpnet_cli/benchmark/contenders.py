"""Models that are measured against each other, and the sizes that each of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.backends import OnnxBackend, load_backend
from bpnet_cli.inference.load import make_predictor, spec_of
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.log import say
from bpnet_cli.models.formats import format_of
from bpnet_cli.pose.geometry import network_input_size

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Contender:
    """A model file at work. engine: what computes it.

    fixed: the only (height, width) that it takes, or None. batch: of a file that takes one batch only, else 1.
    """

    path: str
    engine: str
    predictor: Predictor
    fixed: Size | None = None
    batch: int = 1

    def at(self, size: Size) -> Predictor:
        """Its predictor for inputs of exactly (height, width), photos padded to it."""
        return replace(self.predictor, size=InputSize(*size))


def load_contenders(paths: Sequence[str], threads: int | None, engines: Sequence[str]) -> list[Contender]:
    """Models from what `infer -m` takes, one run of the network per photo whatever averaging their specs ask for.

    engines: a model that several can compute is there once for each. Raises BpnetError for a file that is
    missing or no model.
    """
    contenders = []
    for path in paths:
        known = format_of(path).engines
        for engine in dict.fromkeys(engines) if len(known) > 1 else known:
            contenders.append(_load(path, threads, engine))
        if contenders[-1].batch > 1:
            batch = contenders[-1].batch
            say(f"{path}: takes batches of {batch}; others are cut or filled up, and counted as asked for")
    return contenders


def default_size(contender: Contender) -> Size:
    """The (height, width) that a model infers with, square where the width follows the photo."""
    size, multiple = contender.predictor.size, contender.predictor.backend.metadata.input_multiple
    return contender.fixed or network_input_size(1, 1, size.height, size.width or size.height, multiple, 1.0)


def takers_of(
    contenders: Sequence[Contender], sizes: Sequence[Size]
) -> tuple[Mapping[Size, list[Contender]], list[str]]:
    """The models to measure at each size, and lines on those that can't be measured at some.

    A model of fixed size is measured at that one, asked for or not. Raises BpnetError for a size that isn't a
    multiple of what a model takes.
    """
    takers: dict[Size, list[Contender]] = {size: [] for size in sizes}
    skipped = []
    for contender in contenders:
        own = [contender.fixed] if contender.fixed else sizes
        for size in own:
            _check(contender, size)
            takers.setdefault(size, []).append(contender)
        if others := ", ".join(text(size) for size in sizes if size not in own):
            skipped.append(f"{contender.path}: takes {text(own[0])} only, {others} skipped")
    return takers, list(dict.fromkeys(skipped))


def text(size: Size) -> str:
    """As `--size` takes it."""
    return f"{size[0]}x{size[1]}"


def _load(path: str, threads: int | None, engine: str) -> Contender:
    backend = load_backend(path, threads, engine)
    predictor = replace(make_predictor(backend, spec_of(backend.metadata, path)), scales=(1.0,), flip=False)
    if isinstance(backend, OnnxBackend):
        return Contender(path, engine, predictor, backend.fixed_size, backend.layout.batch or 1)
    return Contender(path, engine, predictor)


def _check(contender: Contender, size: Size) -> None:
    multiple = contender.predictor.backend.metadata.input_multiple
    nearest = network_input_size(1, 1, *size, multiple, 1.0)
    if nearest != size:
        raise BpnetError(
            f"{contender.path}: takes multiples of {multiple} as height and width, not --size {text(size)};"
            f" {text(nearest)} would do"
        )
