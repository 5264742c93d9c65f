"""Make `box.keras`, the file of the model in the box, from a trained `.keras` file.

    python specs/pack_box.py runs/box/model.keras box.keras

The weights are stored in half precision, and the spec of the training (box.yaml) is stored in the file. Keras converts
half-precision weights to float32 when it loads them. So the file works like any other, at half the size.
"""

from __future__ import annotations

import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bpnet_cli.files import atomic_path
from bpnet_cli.models.metadata import KERAS_MEMBER, read_keras_metadata
from bpnet_cli.spec.loader import load_spec


def pack(source: str, target: str) -> None:
    """Write the packed file of `source` to `target`."""
    spec = load_spec(Path(__file__).with_name("box.yaml"))
    metadata = replace(read_keras_metadata(source), spec=spec.model_dump(mode="json"))
    with (
        atomic_path(target) as path,
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            data = metadata.to_json().encode() if name == KERAS_MEMBER else old.read(name)
            new.writestr(name, in_half_precision(data) if name.endswith(".h5") else data)


def in_half_precision(data: bytes) -> bytes:
    """Convert the float32 data sets of an HDF5 file to float16. Other data stay as they are."""
    result = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(result, "w") as new:

        def copy(path: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                made = new.create_dataset(
                    path, data=values.astype(np.float16) if values.dtype == np.float32 else values
                )
            else:
                made = new.require_group(path)
            made.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    return result.getvalue()


if __name__ == "__main__":
    pack(*sys.argv[1:])
