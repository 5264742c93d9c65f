"""What `bpnet infer` says at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.sources import Failure
from bpnet_cli.log import counted


@dataclass
class Summary:
    """What happened. weaker: people below `inference.min_person_score`. stopped: where Ctrl-C came, else empty."""

    photos: int = 0
    frames: int = 0
    persons: int = 0
    weaker: int = 0
    failed: list[Failure] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    stopped: str = ""

    @property
    def text(self) -> str:
        """For the terminal."""
        parts = [counted(self.photos, "photo")] if self.photos or not self.frames else []
        parts += [counted(self.frames, "video frame")] if self.frames else []
        people = counted(self.persons, "person", "people")
        lines = [f"{people} in {' and '.join(parts)}: {', '.join(self.written)}"] if self.written else []
        lines += [f"failed: {failure.path}: {failure.reason}" for failure in self.failed]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def of_nobody(self, predictor: Predictor) -> str:
        """What may help where nobody was found; empty where somebody was."""
        if self.persons or not self.written:
            return ""
        if self.weaker:
            people = counted(self.weaker, "weaker person", "weaker people")
            least = f"inference.min_person_score ({predictor.min_person_score:g})"
            return f"{people} below {least}: --set inference.min_person_score=0 shows all"
        larger = f"--set inference.input_height={2 * predictor.size.height}"
        return f"nobody at any score: where people are small in the photo, a larger input may find them: {larger}"
