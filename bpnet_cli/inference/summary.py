"""The summary that `bpnet infer` prints at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.sources import Failure
from bpnet_cli.log import counted, one_line


@dataclass
class Summary:
    """Counts of a run. persons: people in the results. weaker: people below `inference.min_person_score`.

    failed: inputs that could not be used. written: files and folders. stopped: a line on where Ctrl-C came, or empty.
    """

    photos: int = 0
    frames: int = 0
    persons: int = 0
    weaker: int = 0
    failed: list[Failure] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def text(self) -> str:
        """The summary as lines for the terminal."""
        parts = [counted(self.photos, "photo")] if self.photos or not self.frames else []
        parts += [counted(self.frames, "video frame")] if self.frames else []
        people = counted(self.persons, "person", "people")
        lines = [f"{people} in {' and '.join(parts)}: {', '.join(self.written)}"] if self.written else []
        lines += [f"failed: {one_line(failure.path)}: {one_line(failure.reason)}" for failure in self.failed]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def of_nobody(self, predictor: Predictor) -> str:
        """A hint where nobody was found: what may help. Empty where people were found or nothing was written."""
        if self.persons or not self.written:
            return ""
        if self.weaker:
            people = counted(self.weaker, "weaker person", "weaker people")
            least = f"inference.min_person_score ({predictor.min_person_score:g})"
            return f"{people} below {least}: --set inference.min_person_score=0 shows all"
        larger = f"--set inference.input_height={2 * predictor.size.height}"
        return f"nobody was found at any score; if people are small in the photo, try a larger input: {larger}"
