"""Swaps photos that ship with the dependencies to people of the demonstration generator, and verifies the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import simplejpeg

from curate.evaluate.demo_views import packaged_photo
from curate.listener import SILENT, Listener
from manifests.errors import OutputError
from manifests.output import OutputLock, atomic
from train.demonstration.generator import LICENCE, demonstration_checkpoint, demonstration_people
from train.marks.verify import Verdict, verify
from train.swap.plan import SwapRequest, plan
from train.swap.run import run

PHOTOS = {"astronaut": ("skimage", "data/astronaut.png"), "group": ("insightface", "data/images/t1.jpg")}
"""Name of a target -> the package and the file that it is from."""

_QUALITY = 95
_PAGE = "index.html"


@dataclass(frozen=True)
class DemoSwap:
    """A swap of the demo: the person's name, the result, and its marks."""

    person: str
    path: Path
    verdict: Verdict


@dataclass(frozen=True)
class Demo:
    """The demo's results.

    Attributes:
        page: `OUT/index.html`.
        swaps: by target photo.
        people: names of the people that were swapped to.
    """

    page: Path
    swaps: dict[Path, list[DemoSwap]]
    people: tuple[str, ...]

    @property
    def all_marked(self) -> bool:
        """Whether every result is verified as AI-made."""
        return all(swap.verdict.state == "marked" for swaps in self.swaps.values() for swap in swaps)


def run_demo(out: Path, people: Sequence[str] = (), device: str = "cpu", listener: Listener = SILENT) -> Demo:
    """Write photos, swaps and a page into `out`; what exists there of an earlier demo is kept.

    Args:
        out: a folder.
        people: names of people of the demonstration generator; empty for all of them.
        device: "cpu", "cuda", ...
        listener: receives the progress of the swaps.

    Raises:
        CheckpointError: no such person, or the generator is missing.
        ModelError: a photo of the dependencies is missing.
        OutputError: `out` cannot be written, or holds something else than a demo.
        BusyError: another demo is using `out`.
    """
    _require_own(out)
    with OutputLock(out):
        return _demo(out, tuple(people) or demonstration_people(), device, listener)


def _require_own(out: Path) -> None:
    """Raise OutputError where a folder holds files that no demo wrote: photos in it would be swapped, too."""
    folders = ("photos", "swapped")
    own = {_PAGE, *folders, *(f"photos/{name}.jpg" for name in PHOTOS)}
    own |= {f"swapped/{person}" for person in demonstration_people()}
    for folder in (out, *(out / name for name in folders)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name[0] != "." and path.relative_to(out).as_posix() not in own:
                raise OutputError(f"{out} holds {path.relative_to(out)}, which is not of a demo: choose another --out")


def _demo(out: Path, people: Sequence[str], device: str, listener: Listener) -> Demo:
    targets = [_write_photo(out / "photos", name) for name in PHOTOS]
    swaps: dict[Path, list[DemoSwap]] = {target: [] for target in targets}
    for person in people:
        folder = out / "swapped" / person
        request = SwapRequest(
            checkpoint=demonstration_checkpoint(),
            sources=(),
            person=person,
            target=out / "photos",
            out=folder,
            device=device,
            models="builtin",
        )
        run(plan(request, listener), listener)
        for target in targets:
            path = folder / target.name
            swaps[target].append(DemoSwap(person, path, verify(path)))
    return Demo(_write_page(out, swaps), swaps, tuple(people))


def _write_photo(folder: Path, name: str) -> Path:
    path = folder / f"{name}.jpg"
    data = simplejpeg.encode_jpeg(packaged_photo(*PHOTOS[name]), _QUALITY, "RGB", "444")
    if not path.is_file() or path.read_bytes() != data:  # an equal one keeps its results
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as partial:
            partial.write_bytes(data)
    return path


def _write_page(out: Path, swaps: dict[Path, list[DemoSwap]]) -> Path:
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("train.demonstration") / "page.html").read_text(encoding="utf-8"))
    sections = [
        (
            target.relative_to(out).as_posix(),
            PHOTOS[target.stem][0],
            [
                (swap.person.replace("_", " ").title(), swap.path.relative_to(out).as_posix(), swap.verdict)
                for swap in row
            ],
        )
        for target, row in swaps.items()
    ]
    with atomic(out / _PAGE) as partial:
        partial.write_text(template.render(sections=sections, licence=LICENCE), encoding="utf-8")
    return out / _PAGE
