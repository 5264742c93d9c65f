"""Labels of any format: a reader gives entries, the rest of the package sees arrays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from bpnet_cli import BODY_18
from bpnet_cli.data.checks import BOX_OUTSIDE
from bpnet_cli.data.coco import read_coco_file, to_coco
from bpnet_cli.data.labels import Entry, Image, Labels, gather, pool, select, summarise
from bpnet_cli.data.masks import encode_ignore_region, warp_mask
from bpnet_cli.data.photos import photos_of_source
from bpnet_cli.data.sources import FORMATS, Format, beside_photos, open_source
from bpnet_cli.errors import DataError
from tests.conftest import coco_person, write_coco

NAMES = ("nose", "left_shoulder", "right_shoulder")


def entry(image_id: int, x: float, **changes: object) -> Entry:
    points = [x, 10, 2, x + 5, 20, 2, x - 5, 20, 1]
    whole = Entry(image_id, points, [x - 9, 5, 18, 40], 300.0, False, (), None, f"line {x:g}")
    return whole._replace(**changes)


@pytest.fixture
def labels() -> Labels:
    images = {7: Image("b.png", 100, 120), 2: Image("a.png", 50, 60), 5: Image("c.png", 50, 60)}
    return gather("there", NAMES, images, [entry(2, 10), entry(7, 20), entry(2, 30), entry(7, 40, crowd=True)])


def test_people_stand_by_photo_and_keep_their_order_there(labels: Labels) -> None:
    assert {i: labels.people_of(i).places.tolist() for i in labels.images} == {
        7: ["line 20", "line 40"],
        2: ["line 10", "line 30"],
        5: [],
    }
    assert labels.people_of(5).keypoints.shape == (0, 3, 3)
    assert labels.people_of(7).keypoints[0].tolist() == [[20, 10, 2], [25, 20, 2], [15, 20, 1]]
    assert labels.people.labelled.tolist() == [True, False, True, True]


def test_a_choice_keeps_only_its_photos_and_people(labels: Labels) -> None:
    assert select(labels, labels.images) is labels
    chosen = select(labels, [2, 7], np.array([True, False, False, True]))
    assert {i: chosen.people_of(i).places.tolist() for i in chosen.images} == {2: ["line 30"], 7: ["line 20"]}


def test_a_pool_numbers_photos_anew(labels: Labels) -> None:
    pooled, renumbered = pool([labels, select(labels, [2])])
    assert renumbered == [{7: 1, 2: 2, 5: 3}, {2: 4}]
    assert [image.file_name for image in pooled.images.values()] == ["b.png", "a.png", "c.png", "a.png"]
    assert pooled.people_of(4).places.tolist() == pooled.people_of(2).places.tolist() == ["line 10", "line 30"]


def test_written_for_pycocotools_it_says_what_the_file_says(tmp_path: Path) -> None:
    crowd = coco_person(8, iscrowd=1, keypoints=[0] * 51, num_keypoints=0)
    path = write_coco(
        tmp_path, [coco_person(5), coco_person(6, 2, keypoints=[3.25, 4, 1] * 17), crowd], ((99, 90),) * 2
    )
    written, whole = to_coco(read_coco_file(path)), COCO(str(path))
    assert [entry["id"] for entry in written["annotations"]] == [1, 2, 3]
    for ours, original in zip(written["annotations"], (5, 8, 6), strict=True):
        assert {**ours, "id": original}.items() <= {**whole.anns[original]}.items()
    assert [image.items() <= whole.imgs[image["id"]].items() for image in written["images"]] == [True, True]


def read_lines(path: str | Path, _: object) -> Labels:
    """A made-up format: a photo's name, size, and per keypoint x, y."""
    images, entries = {}, []
    for number, line in enumerate(Path(path).read_text().splitlines()[1:], start=1):
        name, height, width, *values = line.split()
        images[number] = Image(name, int(height), int(width))
        points = np.insert(np.array(values, float).reshape(-1, 2), 2, 2, axis=1)
        box = [*points[:, :2].min(axis=0), *np.ptp(points[:, :2], axis=0)]
        entries.append(Entry(number, points.ravel().tolist(), box, 0, False, (), None, f"line {number}"))
    return gather(path, NAMES, images, entries)


def test_a_format_is_one_entry_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tells(path: str | Path, _: object) -> bool:
        return Path(path).read_bytes()[:6] == b"#lines"

    table = {"lines": Format(tells, partial(beside_photos, read_lines)), **FORMATS}
    monkeypatch.setattr("bpnet_cli.data.sources.FORMATS", table)
    coco = write_coco(tmp_path, [coco_person()], ((100, 120),) * 3)
    path = tmp_path / "people.txt"
    rows = ["1.png 100 120 60 30 80 50 40 50", "2.png 100 120 160 30 180 50 140 50"]
    path.write_text("\n".join(["#lines", *rows]))
    source = open_source(tmp_path / "images", path)
    assert summarise(source.problems) == [f"{BOX_OUTSIDE}: 1 (first: line 2 of 2.png)"]
    photos = photos_of_source(source, BODY_18)
    neck = BODY_18.keypoints.index("neck")
    assert [len(photo.keypoints) for photo in photos] == [1, 0]
    assert photos[0].keypoints[0, neck].tolist() == [60, 50, 2]
    assert photos[0].areas.tolist() == pytest.approx([0.53 * 40 * 20])
    assert open_source(tmp_path / "images", coco).labels.keypoint_names[1] == "left_eye"


@pytest.mark.parametrize(
    "region",
    [
        None,
        (np.array([11.0, 5, 29, 5, 29, 45, 11, 45]),),
        {"size": [100, 120], "counts": [1105, *[40, 60] * 17, 40, 9155]},
    ],
)
def test_a_region_is_a_box_polygons_or_run_lengths(labels: Labels, region: object) -> None:
    crowd = gather("there", NAMES, labels.images, [entry(7, 20, crowd=True, region=region)])
    mask = warp_mask(encode_ignore_region(crowd.people_of(7), 100, 120), np.eye(3)[:2], 100, 120)
    rows, columns = np.nonzero(mask == 0)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (5, 45, 11, 29)


def test_a_region_that_does_not_decode_is_named_by_its_place(labels: Labels) -> None:
    people = gather("there", NAMES, labels.images, [entry(7, 20, crowd=True, region={"size": 3})]).people
    with pytest.raises(DataError, match="line 20: segmentation can't be decoded"):
        encode_ignore_region(people, 100, 120)
