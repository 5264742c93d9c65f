"""What TAO's files mean for a verb: settings of inference, photos and labels, lists of photos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def settings_of(path: str) -> tuple[dict[str, Any], str | None]:
    """Keys of our spec that TAO's inference spec sets, and its model; None if TAO's model can't be read here.

    Raises SpecError.
    """
    from bpnet_cli.spec.tao import translate
    from bpnet_cli.spec.tao_file import INFERENCE
    from bpnet_cli.spec.yaml_text import load_yaml

    document = load_yaml(path)
    inference = translate(document, INFERENCE).document.data["inference"]
    model = document.data.get("model_path")
    readable = isinstance(model, str) and model.endswith((".onnx", ".keras", ".xml"))
    return {f"inference.{key}": value for key, value in inference.items()}, model if readable else None


def dataset_of(path: str, mode: str) -> tuple[str, str]:
    """Folder of photos and annotation file of TAO's dataset spec. mode: `train`, or any other word for its test data.

    Raises SpecError.
    """
    from bpnet_cli.errors import SpecError
    from bpnet_cli.spec.dataset import DataSource
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.problems import check
    from bpnet_cli.spec.tao import translate
    from bpnet_cli.spec.tao_file import DATASET
    from bpnet_cli.spec.yaml_text import load_yaml

    dataset = check(ExperimentSpec, translate(load_yaml(path), DATASET).document).dataset
    for source in dataset.train_sources if mode == "train" else dataset.validation_sources:
        if isinstance(source, DataSource):
            return source.images, source.annotations
    raise SpecError(f"{path}: has no {'train_data' if mode == 'train' else 'test_data'}")


def listed_photos(path: str, root: str) -> list[str]:
    """Paths of the photos in a JSON list of TAO's: paths, or {images: [{full_image_path: PATH}]}. Raises SpecError.

    root: folder that the paths are relative to.
    """
    import json

    from bpnet_cli.errors import SpecError

    form = "must be a JSON list of paths, or {images: [{full_image_path: PATH}, ...]}"
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        names = data if isinstance(data, list) else [image["full_image_path"] for image in data["images"]]
        return [os.path.join(root, name) for name in names]
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise SpecError(f"{path}: {form}") from None
