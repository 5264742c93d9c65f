"""Everything is in setup.cfg, but for specs and pages: they lie beside the package here, and inside of it installed."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BESIDE = ("specs/*.yaml", "specs/skeletons/*.yaml", "specs/schema/*.json", "docs/*.md", "docs/deploy/*.md")


class BuildWithFilesBeside(build_py):
    """Copies specs and pages into the built package; one installed as editable finds them where they lie."""

    def _copies(self) -> dict[str, str]:
        """Source by target."""
        sources = [path.as_posix() for pattern in BESIDE for path in sorted(Path().glob(pattern))]
        return {f"{self.build_lib}/bpnet_cli/{source}": source for source in sources}

    def run(self) -> None:
        """Build the modules, and copy the specs."""
        super().run()
        if self.editable_mode:
            return
        for target, source in self._copies().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files that a build makes."""
        return [*super().get_outputs(include_bytecode), *self._copies()]

    def get_output_mapping(self) -> dict[str, str]:
        """Source by made file, for editable installs that link."""
        return {**super().get_output_mapping(), **self._copies()}

    def get_source_files(self) -> list[str]:
        """All files that a source distribution needs."""
        return [*super().get_source_files(), *self._copies().values()]


setup(cmdclass={"build_py": BuildWithFilesBeside})
