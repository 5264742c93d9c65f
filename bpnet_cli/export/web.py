"""A folder with a page that runs the model in a browser."""

from __future__ import annotations

from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_folder, files_for
from bpnet_cli.storage import local_path

_PAGE = Path(__file__).parents[1] / "assets" / "web"


def check_web(folder: str | Path, overwrite: bool) -> None:
    """Check, before any work is done, that `write_web` can write this folder. Raises BpnetError if it can't."""
    if local_path(folder).is_dir() and not overwrite:
        raise BpnetError(f"{folder}: exists already; give --overwrite to replace the page in it")
    check_folder(folder)


def write_web(folder: str | Path, model: bytes, metadata: str) -> str:
    """Write the page, `model.onnx` and `model.json` into a folder; returns the line that says how to open the page.

    Other files in the folder stay, such as those of `npm install`.
    model: bytes of an ONNX file with the output `peaks`. metadata: JSON, see `ModelMetadata.to_json`.
    """
    with files_for(folder) as temporary:
        for source in sorted(_PAGE.iterdir()):
            (temporary / source.name).write_bytes(source.read_bytes())
        (temporary / "model.onnx").write_bytes(model)
        (temporary / "model.json").write_text(metadata, encoding="utf-8")
    return f"to open the page: cd {folder} && npm install && python3 -m http.server, then http://localhost:8000"
