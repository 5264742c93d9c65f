"""Make `box.keras` or `box-fast.keras`, the files of the models in the box, from trained `.keras` files.

    python specs/pack_box.py runs/box/model.keras box.keras

With several files of one network before the last name, the weights are their mean (Wortsman et al.: Model soups, ICML
2022). The weights are stored in half precision, and the spec of the training (box.yaml for box.keras) is stored in the
file. Keras converts half-precision weights to float32 when it loads them. So the file works like any other, at half the
size.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bpnet_cli.files import atomic_path
from bpnet_cli.models.metadata import KERAS_MEMBER, read_keras_metadata
from bpnet_cli.spec.loader import load_spec


def pack(sources: Sequence[str], target: str) -> None:
    """Write the packed file of the mean of `sources` to `target`. Raises KeyError or ValueError for other networks."""
    spec = load_spec(Path(__file__).with_name(f"{Path(target).stem}.yaml"))
    metadata = replace(read_keras_metadata(sources[0]), spec=spec.model_dump(mode="json"))
    with ExitStack() as stack:
        old = [stack.enter_context(zipfile.ZipFile(source)) for source in sources]
        new = stack.enter_context(zipfile.ZipFile(stack.enter_context(atomic_path(target)), "w", zipfile.ZIP_DEFLATED))
        for name in old[0].namelist():
            if name == KERAS_MEMBER:
                new.writestr(name, metadata.to_json().encode())
            elif name.endswith(".h5"):
                new.writestr(name, mean_in_half_precision([each.read(name) for each in old]))
            else:
                new.writestr(name, old[0].read(name))


def mean_in_half_precision(files: Sequence[bytes]) -> bytes:
    """The means of the floating-point data sets of HDF5 files, as float16. Other data are those of the first file."""
    result = io.BytesIO()
    with ExitStack() as stack:
        old, *others = [stack.enter_context(h5py.File(io.BytesIO(data))) for data in files]
        new = stack.enter_context(h5py.File(result, "w"))

        def copy(path: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                if np.issubdtype(values.dtype, np.floating):
                    weights = [values, *(other[path][()] for other in others)]
                    values = np.mean(weights, axis=0, dtype=np.float32).astype(np.float16)
                made = new.create_dataset(path, data=values)
            else:
                made = new.require_group(path)
            made.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    return result.getvalue()


if __name__ == "__main__":
    pack(sys.argv[1:-1], sys.argv[-1])
