"""`bpnet docs`: the pages of the documentation, which the package holds."""

from __future__ import annotations

from pathlib import Path

import click

from bpnet_cli.errors import BpnetError, did_you_mean


def pages_folder() -> Path:
    """The folder of the pages."""
    from bpnet_cli.spec.shipped import folder_beside

    return folder_beside("docs")


@click.command()
@click.argument("page", metavar="[PAGE]", required=False)
def docs(page: str | None) -> None:
    """List the pages of the documentation, or print one.

    \b
    Example: bpnet docs
             bpnet docs your_photos
             bpnet docs deploy/triton
    """
    folder = pages_folder()
    pages = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.md"))}
    if page is None:
        _list(folder, pages)
        return
    name = page.removeprefix("docs/").removesuffix(".md").lower()
    if name not in pages:
        name = next((known for known in (f"{name}/index", name.replace("-", "_")) if known in pages), name)
    if name not in pages:
        raise BpnetError(f"there is no page {page!r}{did_you_mean(name, pages)}; `bpnet docs` lists all pages")
    click.echo_via_pager(pages[name].read_text(encoding="utf-8"))


def _list(folder: Path, pages: dict[str, Path]) -> None:
    width = max(map(len, pages), default=0)
    for name, path in pages.items():
        click.echo(f"{name:{width}}  {_title(path)}")
    click.echo(f"\n`bpnet docs PAGE` prints a page. The files are in {folder}")


def _title(path: Path) -> str:
    """The page's first heading."""
    with open(path, encoding="utf-8") as file:
        return next((line.removeprefix("# ").strip() for line in file if line.startswith("# ")), "")
