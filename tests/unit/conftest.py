"""Data sources with faults, of which shards are made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import coco_person
from tests.unit.test_bad_data import jpeg, noise, with_exif, write_photos


@pytest.fixture(scope="session")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of many kinds, some of them bad, with people of many kinds."""
    directory = tmp_path_factory.mktemp("messy")
    whole = jpeg(noise(100, 120))
    files = {
        "1.jpg": whole,
        "2.jpg": whole[:-9],
        "3.jpg": with_exif(jpeg(noise(120, 100)), 6),
        "4.jpg": with_exif(whole, 6),
        "5.jpg": with_exif(whole, 3),
        "6.jpg": jpeg(noise(100, 120)[..., 0]),
    }
    path = write_photos(directory, files, (100, 120))
    raw = json.loads(path.read_text())
    face_unknown = [0] * 15 + [value for k in range(5, 17) for value in (12 + 2 * k, 22 + 3 * k, 2)]
    raw["annotations"] += [
        coco_person(11, 1, keypoints=[900, 30, 2] + [40, 50, 1] * 16, bbox=[30.25, -40, 80, 120]),
        coco_person(12, 3, keypoints=face_unknown, unknown_keypoints=[0, 1, 2, 3, 4]),
        coco_person(13, 3, bbox=[500, 5, 10, 10]),
        coco_person(14, 6, iscrowd=1, keypoints=[0] * 51, segmentation=[[60, 0, 110, 0, 110, 90, 60, 90]]),
        coco_person(15, 6, keypoints=[0] * 51, num_keypoints=0, bbox=[80, 60, 30, 30], segmentation=[]),
    ]
    raw["annotations"][0].pop("area")
    raw["categories"][0]["skeleton"] = [[1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]]
    path.write_text(json.dumps(raw))
    return directory


@pytest.fixture(scope="session")
def sources(drawn: Path, messy: Path) -> list[tuple[str, str]]:
    """Two data sources whose image ids overlap."""
    return [
        (str(messy / "images"), str(messy / "labels.json")),
        (str(drawn / "images"), str(drawn / "annotations" / "person_keypoints.json")),
    ]
