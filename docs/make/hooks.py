"""mkdocs' hooks: what the site needs beyond the pages in docs/.

- Links to files of the repository (../examples/onnx_client.py) go to copies in the site, so that it needs no other one.
- CONTRIBUTING.md, SECURITY.md and CHANGELOG.md are pages.
- The notebooks of examples/ are pages.
- Equations between $$ become MathML, which browsers show without a script.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))

from notebooks import notebook_page

ROOT = Path(__file__).parents[2]
# Pages of the site that lie in the folder above docs/, by their names there.
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
# The folder of the notebooks' pages.
NOTEBOOKS = "notebooks/"
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_BLOCK = re.compile(r"^```.*?^```[ ]*$", re.MULTILINE | re.DOTALL)
_EQUATION = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<![\\$\w])\$([^$\n`]+?)\$(?![\w$])")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages above docs/, and copies of the files that pages link to."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"{NOTEBOOKS}{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, NOTEBOOKS + name, content=content))
    for path in sorted(_linked(files)):
        target = f"files/{path.relative_to(ROOT).as_posix()}"
        files.append(File.generated(config, target, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links and equations as the site needs them. Code blocks stay as they are."""
    parts, end = [], 0
    for block in _BLOCK.finditer(markdown):
        parts += [_prose(markdown[end : block.start()], page.file.src_uri), block.group()]
        end = block.end()
    return "".join([*parts, _prose(markdown[end:], page.file.src_uri)])


def _prose(text: str, page: str) -> str:
    text = _EQUATION.sub(lambda match: f"\n{convert(match[1].strip(), display='block')}\n", text)
    text = _INLINE.sub(lambda match: convert(match[1]), text)
    return _LINK.sub(lambda match: match[1] + _site_link(match[2], page) + match[3], text)


def _site_link(link: str, page: str) -> str:
    """The link as the site has it. page: the page's path in the site's sources."""
    path = _target(link, page)
    if path is None:
        return link
    name = path.relative_to(ROOT).as_posix()
    target = f"{NOTEBOOKS}{path.stem}.md"
    if path.suffix != ".ipynb" or target == page:  # a notebook's own page links to the file
        target = OUTSIDE.get(name) or (name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}")
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def _target(link: str, page: str) -> Path | None:
    """The file of the repository that a link of a page means; None for addresses and files that are not there."""
    if re.match(r"\w+:", link):
        return None
    if page.startswith(NOTEBOOKS):
        folder = ROOT / "examples"
    else:
        folder = ROOT if page in OUTSIDE.values() else (ROOT / "docs" / page).parent
    path = Path(os.path.normpath(folder / link))
    return path if path.is_file() and path.is_relative_to(ROOT) else None


def _linked(files: Any) -> set[Path]:
    """The files outside of docs/ that pages link to, except those that are pages."""
    found = set()
    for file in files.documentation_pages():
        text = _BLOCK.sub("", file.content_string)
        targets = (_target(match[2], file.src_uri) for match in _LINK.finditer(text))
        found |= {path for path in targets if path and not path.is_relative_to(ROOT / "docs")}
    return {path for path in found if path.relative_to(ROOT).as_posix() not in OUTSIDE}
