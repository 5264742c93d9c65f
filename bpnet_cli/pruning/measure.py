"""What pruning costs before any training: AP on labelled photos, where the spec names some that are there."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate, load_labelled, part_of
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.dataset import RecordSource, Source

# More tell little more, and each is measured twice.
MOST_PHOTOS = 200
# Of the AP before: what is left above this share came back in a short training in the cases known (docs/model_card.md).
_MOST_OF_IT = 0.9
_LONG_TRAINING = (
    "expect to train it for as many steps as the first time: that brought a network back that was pruned to half of its"
    " MACs (bpnet docs benchmarks)"
)


def labelled_photos(sources: Sequence[Source], skeleton: Skeleton) -> tuple[LabelledSet | None, str]:
    """Photos to measure on, and words for them, or a line on why there are none. Raises DataError for damaged files."""
    if not sources or not all(map(_is_there, sources)):
        return None, (
            "AP          not measured: the photos of dataset.validation aren't here;"
            " --set 'dataset.validation={images: DIR, annotations: FILE}' names others"
        )
    whole = load_labelled(sources, skeleton)
    part = part_of(whole, MOST_PHOTOS)
    count, total = len(part.files), len(whole.files)
    return part, f"{count} photos" if count == total else f"{count} of {total:,} photos"


def compare(
    before: Predictor, after: Predictor, labelled: LabelledSet | None, photos: str, refitted: bool
) -> list[str]:
    """Lines on the AP of both, where there are photos, and on the training to come; photos: see `labelled_photos`."""
    if labelled is None:
        return [photos, _LONG_TRAINING]
    first, second = (evaluate(each, labelled, "measuring AP").scores.metrics["AP"] for each in (before, after))
    return measured(first, second, photos, refitted)


def measured(before: float, after: float, photos: str, refitted: bool) -> list[str]:
    """Lines on AP before and after, and on the training that the pruned network needs. photos: words for them."""
    line = f"AP          {before:.3f} -> {after:.3f} on {photos}, without any training"
    if after >= _MOST_OF_IT * before > 0:
        return [line, "most of it is left: the model in the box needed 2,560 crops from there (bpnet docs model_card)"]
    hint = "" if refitted else "; --refit-images DIR would leave more of it"
    return [line, f"{_LONG_TRAINING}{hint}"]


def _is_there(source: Source) -> bool:
    if isinstance(source, RecordSource):
        return bool(glob(source.records))
    return Path(source.images).is_dir() and Path(source.annotations).is_file()
