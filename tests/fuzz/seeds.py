"""Small valid files of every format that bpnet reads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from click.testing import CliRunner

from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.cli import main
from bpnet_cli.data.convert import convert
from bpnet_cli.engine import load_keras
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.experiment import ExperimentSpec
from tests.cli.conftest import FINDING
from tests.conftest import coco_person, write_coco
from tests.unit import other_tools
from tests.unit.pytorch_style import pose_network
from tests.unit.test_video import encode

TINY = {
    "backbone": "tiny",
    "stages": 1,
    "feature_channels": 4,
    "convolution": "separable",
    "initial_stage": {"kernel_sizes": [3], "channels": 4, "head_channels": 4},
}


def photos(folder: Path) -> None:
    """One small photo for each way of encoding."""
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for ending in ("jpg", "png", "webp", "bmp", "tiff", "gif", "jp2", "ppm"):
        assert cv2.imwrite(str(folder / f"p.{ending}"), image)
    cv2.imwrite(str(folder / "alpha.png"), np.dstack([image, image[..., :1]]))
    cv2.imwrite(str(folder / "deep.tiff"), image.astype(np.uint16) * 257)
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.from_bytes("RGB", (64, 48), image.tobytes()).save(str(folder / "p.heic"))


def videos(folder: Path) -> None:
    """Films of five pictures of a few codecs and containers."""
    folder.mkdir()
    pictures = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(5)]
    for name, codec, sound in (
        ("a.mp4", "libx264", "aac"),
        ("a.mkv", "libx264", ""),
        ("a.avi", "mpeg4", ""),
        ("a.webm", "libvpx", ""),
        ("a.ts", "libx264", ""),
    ):
        encode(folder / name, pictures, range(0, 200, 40), codec=codec, sound=sound)


def labels(folder: Path) -> None:
    """A COCO file, shards made of it, and the same people as other tools write them."""
    crowd = {"counts": [40, 30, 11930], "size": [100, 120]}
    people = [
        coco_person(1, 1),
        coco_person(2, 2, bbox=[1, 2, 30, 40]),
        coco_person(3, 1, iscrowd=1, keypoints=[0] * 51, num_keypoints=0, segmentation=crowd),
    ]
    path = write_coco(folder / "coco", people, ((100, 120), (64, 48)))
    raw = json.loads(path.read_text())
    raw["categories"][0]["skeleton"] = [[1, 2], [1, 3], [6, 7]]
    path.write_text(json.dumps(raw))
    convert({"train": [(str(folder / "coco" / "images"), str(path))]}, folder / "shards", shards=1)
    for write in (
        other_tools.cvat,
        other_tools.labelme,
        other_tools.label_studio,
        other_tools.yolo,
        other_tools.deeplabcut,
    ):
        write(folder / write.__name__)


def models(folder: Path) -> None:
    """A tiny network in every format, and one of another tool."""
    load_keras()
    import onnx

    from bpnet_cli.export.litert import to_litert, write_litert
    from bpnet_cli.export.onnx import to_onnx
    from bpnet_cli.export.openvino import convert as to_openvino
    from bpnet_cli.models.model_file import save_network

    folder.mkdir()
    spec = ExperimentSpec.model_validate_json(json.dumps({"model": TINY}))
    network, metadata = network_of(spec, BODY_18), metadata_of(spec, BODY_18)
    save_network(network, metadata, folder / "m.keras")
    onnx.save(to_onnx(network, metadata, 17), str(folder / "m.onnx"))
    to_openvino(folder / "m.onnx")
    write_litert(folder / "m.tflite", to_litert(network, (1, 64, 64), "fp32"), metadata)
    onnx.save(pose_network(), str(folder / "theirs.onnx"))


def checkpoints(folder: Path) -> None:
    """A checkpoint of `fake_state`."""
    from bpnet_cli.training.checkpoint import Progress, save_checkpoint

    folder.mkdir()
    save_checkpoint(folder, Progress(epoch=1, step=2, best_ap=0.5), fake_state(), keep=3)


def parts(folder: Path) -> None:
    """What `infer --shard` leaves, of photos and of a film. Needs the models, photos and films beside it."""
    beside = folder.parent
    words = ["infer", beside / "photos", beside / "videos" / "a.mp4", "-m", beside / "models" / "m.onnx", "-r", folder]
    words += ["--shard", "0/1", "--no-annotate", "--format", "json,coco,csv"]
    result = CliRunner().invoke(main, [*map(str, words), "--set", "inference.input_height=64", *FINDING])
    assert result.exit_code == 0, result.output


class Variable(np.ndarray):
    """An array that Keras' variables could stand for."""

    path: str = ""
    name: str = ""

    def assign(self, values: Any) -> None:
        self[...] = values


def variable(name: str, values: np.ndarray) -> Variable:
    made = np.array(values).view(Variable)
    made.path, made.name = name, name.split("/")[-1]
    return made


def fake_state() -> Any:
    from bpnet_cli.training.checkpoint import State

    network = SimpleNamespace(variables=[variable("conv/kernel", np.ones((3, 3, 2, 2), np.float32))])
    optimizer = SimpleNamespace(variables=[variable("adam/iteration", np.array(7, np.int64))])
    return State(network, optimizer, [])


def write_all(folder: Path) -> Path:
    """All seeds, each kind in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for write in (photos, videos, labels, models, checkpoints, parts):
        write(folder / write.__name__)
    return folder
