"""Shared by all tests: silence, the data beside the repository, and small labelled sets."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli.data.synthetic import generate
from bpnet_cli.engine import load_keras

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def keras_loaded() -> None:
    """Keras, imported without its chatter."""
    load_keras()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos and maps that some machines have beside the repository."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("shared/data is not beside this repository")
    return path


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve synthetic photos: DIR/images, DIR/annotations/person_keypoints.json."""
    directory = tmp_path_factory.mktemp("drawn")
    generate(directory, 12, people=(1, 3), height=128, width=128, seed=5)
    return directory


COCO_NAMES = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
]


def coco_person(annotation_id: int = 1, image_id: int = 1, **changes: object) -> dict:
    """A COCO annotation with all 17 keypoints inside box 10, 20, 40, 60."""
    keypoints = [value for i in range(17) for value in (12 + 2 * i, 22 + 3 * i, 2)]
    entry = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10, 20, 40, 60],
        "area": 1800,
        "num_keypoints": 17,
        "keypoints": keypoints,
        "segmentation": [[10, 20, 50, 20, 50, 80, 10, 80]],
    }
    return entry | changes


def write_coco(directory: Path, annotations: list[dict], sizes: tuple[tuple[int, int], ...] = ((100, 120),)) -> Path:
    """Write grey photos 1.png.. of (height, width) `sizes` and an annotation file; returns the file."""
    (directory / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for i, (height, width) in enumerate(sizes, start=1):
        cv2.imwrite(str(directory / "images" / f"{i}.png"), np.full((height, width, 3), 90, np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
    raw = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": COCO_NAMES, "skeleton": []}],
    }
    path = directory / "labels.json"
    path.write_text(json.dumps(raw))
    return path


class _SignalStack(ctypes.Structure):
    """Linux's stack_t."""

    _fields_ = [("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@pytest.fixture
def own_stack() -> None:
    """Signals use the stack of this thread.

    Native libraries that earlier tests loaded may have given the thread a stack for signals and freed it since: the
    next signal would end the process.
    """
    if sys.platform == "linux":
        disabled = _SignalStack(None, 2, 0)
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(disabled), None) == 0
