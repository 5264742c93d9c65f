"""The models of a benchmark that are compared with each other, and the input sizes that each of them takes."""

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
    """A loaded model file. engine: the runtime that computes it (onnxruntime, openvino, keras).

    fixed: the only input (height, width) in pixels that the file takes; None: any. batch: the only batch size that the
    file takes; 1 where it takes any.
    """

    path: str
    engine: str
    predictor: Predictor
    fixed: Size | None = None
    batch: int = 1

    def at(self, size: Size) -> Predictor:
        """Its predictor for inputs of exactly this (height, width) in pixels; photos are padded to it."""
        return replace(self.predictor, size=InputSize(*size))


def load_contenders(paths: Sequence[str], threads: int | None, engines: Sequence[str]) -> list[Contender]:
    """Load the models. paths: as in `infer -m`. threads: see `set_threads`.

    Each predictor runs its network once per photo: averaging over scales and mirrored photos is switched off, also
    where the model's spec has it. engines: a model is loaded once for each of them that can compute it.
    Raises BpnetError for a file that is missing or not a model.
    """
    contenders = []
    for path in paths:
        known = format_of(path).engines
        for engine in dict.fromkeys(engines) if len(known) > 1 else known:
            contenders.append(_load(path, threads, engine))
        if contenders[-1].batch > 1:
            batch = contenders[-1].batch
            say(
                f"{path}: takes only batches of {batch}; other batches are split or padded to it, and the times count"
                " the photos of the batch that was asked for"
            )
    return contenders


def default_size(contender: Contender) -> Size:
    """The (height, width) in pixels that a model infers with; square where the width follows the photo."""
    size, multiple = contender.predictor.size, contender.predictor.backend.metadata.input_multiple
    return contender.fixed or network_input_size(1, 1, size.height, size.width or size.height, multiple, 1.0)


def takers_of(
    contenders: Sequence[Contender], sizes: Sequence[Size]
) -> tuple[Mapping[Size, list[Contender]], list[str]]:
    """The models to measure at each size, and lines about sizes that a model skips.

    A model of fixed size is measured at that size only, even if `sizes` lacks it.
    Raises BpnetError for a size that isn't a multiple of what a model takes.
    """
    takers: dict[Size, list[Contender]] = {size: [] for size in sizes}
    skipped = []
    for contender in contenders:
        own = [contender.fixed] if contender.fixed else sizes
        for size in own:
            _check(contender, size)
            takers.setdefault(size, []).append(contender)
        if others := ", ".join(text(size) for size in sizes if size not in own):
            skipped.append(f"{contender.path}: takes only {text(own[0])}; {others} skipped")
    return takers, list(dict.fromkeys(skipped))


def text(size: Size) -> str:
    """A size as text, in the format of `--size`: HEIGHTxWIDTH."""
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
            f"{contender.path}: height and width must be multiples of {multiple} (got --size {text(size)});"
            f" give --size {text(nearest)}"
        )
