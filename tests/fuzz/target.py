"""A reader of strangers' files for fuzzing, and what its readers have in common."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import shown
from tests.fuzz.changes import as_json, bytes_of, trees, xml_of

# A message may name each fault of a file.
MOST_TEXT = 100_000
# A file's new content by its name, relative to the folder of the target.
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Target:
    """changed: from the folder of seeds, a strategy of the files to write over those of `base`. base: a folder of the
    seeds that is copied first, or "". read: reads the folder; BpnetError is the only error that may come out.
    """

    changed: Callable[[Path], st.SearchStrategy[Any]]
    read: Callable[[Path], object]
    base: str = ""

    def run(self, seeds: Path, folder: Path, files: Files) -> bool:
        """Whether the files were read. folder: a new one."""
        if self.base:
            shutil.copytree(seeds / self.base, folder, dirs_exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        try:
            self.read(folder)
        except BpnetError as error:
            text = shown(str(error))
            assert not [each for each in text if unicodedata.category(each) == "Cc" and each not in "\n\t"], text
            assert len(text) < MOST_TEXT, text[:1000]
            return False
        return True


def only(name: str, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    return content.map(lambda data: {name: data})


def one_of(folder: Path, names: str, change: Callable[[bytes], st.SearchStrategy[bytes]]) -> st.SearchStrategy[Files]:
    """One file of a folder changed; the names are relative to it. names: a glob."""
    paths = sorted(path for path in folder.glob(names) if path.is_file())
    return st.sampled_from(paths).flatmap(lambda path: only(str(path.relative_to(folder)), change(path.read_bytes())))


def of_text(data: bytes) -> st.SearchStrategy[bytes]:
    """Changes that fit the kind of text."""
    if data.startswith(b"<"):
        return xml_of([data])
    with suppress(ValueError):
        return st.one_of(trees([json.loads(data)]).map(as_json), bytes_of([data]))
    return bytes_of([data])
