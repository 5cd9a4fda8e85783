"""A listener that records every report."""

from dataclasses import dataclass, field


@dataclass
class Step:
    """One step of an operation and the number of units that were reported as done."""

    name: str
    total: int | None
    unit: str
    done: int = 0
    finished: bool = False


@dataclass
class Recorder:
    """A `curate.listener.Listener` for assertions."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None:
        assert all(earlier.finished for earlier in self.steps), "steps overlap"
        self.steps.append(Step(step, total, unit, done))

    def advance(self, count: int = 1) -> None:
        self.steps[-1].done += count

    def finish(self) -> None:
        self.steps[-1].finished = True

    def note(self, message: str) -> None:
        self.notes.append(message)
