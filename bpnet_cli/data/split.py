"""Splitting an annotation file into photos to train on and photos to validate on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bpnet_cli.data.categories import is_labelled
from bpnet_cli.data.coco import read_json
from bpnet_cli.data.identity import id_of
from bpnet_cli.files import write_text

# A file with fewer photos with people is not split.
LEAST_PHOTOS = 20
_SHARE, _MOST = 0.1, 500
_SEED = 0


def split_file(path: str | Path, train: Path, validation: Path) -> tuple[int, int] | None:
    """Write two annotation files with the photos of one. Returns their numbers of photos: (train, validation).

    One photo with people in ten is chosen for validation, at random, but at most 500; the same file gives the same
    photos. A file with fewer than `LEAST_PHOTOS` photos with people is not split: the result is None, and nothing is
    written.
    Raises DataError for a file that is not COCO's format.
    """
    raw = read_json(Path(path))
    with_people = {id_of(entry.get("image_id")) for entry in raw["annotations"] if is_labelled(entry)}
    ids = [id_of(entry.get("id")) for entry in raw["images"]]
    candidates = [i for i, key in enumerate(ids) if key in with_people]
    if len(candidates) < LEAST_PHOTOS:
        return None
    count = min(int(_SHARE * len(candidates)), _MOST)
    chosen = set(np.random.default_rng(_SEED).permutation(candidates)[:count].tolist())
    held = {ids[i] for i in chosen}
    for target, kept in ((train, False), (validation, True)):
        images = [entry for i, entry in enumerate(raw["images"]) if (i in chosen) == kept]
        annotations = [entry for entry in raw["annotations"] if (id_of(entry.get("image_id")) in held) == kept]
        write_text(target, json.dumps({**raw, "images": images, "annotations": annotations}))
    return len(ids) - count, count
