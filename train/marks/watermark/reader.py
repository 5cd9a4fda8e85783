"""Detects watermarks and reads their IDs.

False positives: a reading counts as detected where its CRC is right and its score reaches `MIN_SCORE`. At most
`MAX_READINGS` readings are made of a picture, so by `code.false_positive_bound` an unmarked picture is detected with a
probability of at most 1e-6. The placements are searched by the pilot alone, whose key is independent of the code's, so
the bound does not depend on the size of that search.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import carriers
from train.marks.watermark.code import decode, false_positive_bound
from train.marks.watermark.grid import Floats, cells_of, detail, fold, luma, resample
from train.marks.watermark.placement import Placement, upright
from train.marks.watermark.region import Region, marked_region
from train.marks.watermark.registration import CANDIDATES, find_placements
from train.marks.watermark.search_grid import SearchGrid, restore, search_size
from train.marks.watermark.spectrum import transform, whiten
from train.marks.watermark.windows import CANDIDATES as WINDOW_CANDIDATES
from train.marks.watermark.windows import find_in_windows

Pixels = npt.NDArray[np.uint8]

MAX_READINGS = 2 + CANDIDATES + WINDOW_CANDIDATES
"""Readings of one picture: as it is, mirrored, and at each of the likeliest placements in the whole and in windows."""

MIN_SCORE = 17.6
"""Detection threshold of `Reading.score`."""

_UNMARKED_AGREEMENT = 0.001
"""Standard deviation of `Carriers.pilot_agreement` in unmarked photos; about .03 in marked ones."""

MAX_CLIPS = 10
"""Clips of one video that may be read, of which one suffices."""

MIN_CLIP_SCORE = 18.2
"""Detection threshold for one of at most MAX_CLIPS clips of a video."""


@dataclass(frozen=True)
class Reading:
    """The result of reading one picture.

    Attributes:
        mark_id: meaningful only where `detected`.
        score: see `code.DecodedId.score`; about 14.5 without a mark, about 70 in an untouched marked picture.
        detected: whether the picture has a watermark.
        placement: where the pattern lies in the picture.
        region: the part of the picture that is marked; None where nothing is detected.
        readings: how many readings are made of the picture or video at most.
    """

    mark_id: int
    score: float
    detected: bool
    placement: Placement
    region: Region | None = None
    readings: int = MAX_READINGS

    @property
    def confidence(self) -> float:
        """1 less the bound of the probability that an unmarked picture gives this reading; 0 where not detected."""
        return 1 - false_positive_bound(self.score, self.readings) if self.detected else 0.0


@dataclass(frozen=True)
class Evidence:
    """What is read of a picture, or the sum of what is read of several of one size.

    Attributes:
        height, width: of the picture, pixels.
        tiles: float32 (2, 256, 256), detail on the grid of the writer (`grid.cells_of`), folded: as it is and mirrored.
        search: detail on the grid of `search_grid`, float32.
    """

    height: int
    width: int
    tiles: Floats
    search: Floats


def evidence_of(picture: Pixels) -> Evidence:
    """The evidence of a picture uint8 (H, W, 3) RGB."""
    plane = luma(picture)
    height, width = plane.shape
    grid = detail(resample(plane, *cells_of(height, width)))
    tiles = np.stack([fold(grid), fold(grid[:, ::-1])])
    return Evidence(height, width, tiles, detail(resample(plane, *search_size(height, width))))


def read(pictures: Sequence[Pixels]) -> list[Reading]:
    """Read pictures of any sizes, each uint8 (H, W, 3) RGB."""
    return [read_evidence(evidence_of(picture)) for picture in pictures]


def read_upright(frames: Pixels) -> int | None:
    """The ID of frames uint8 (N, H, W, 3) RGB that are as they were marked; None where none is detected."""
    cells = cells_of(*frames.shape[1:3])
    tiles = (fold(detail(resample(luma(frame), *cells))) for frame in frames)
    decoded = decode(carriers().soft(whiten(transform(np.sum([_weighted(tile) for tile in tiles], 0)))))
    return decoded.mark_id if decoded.valid and decoded.score >= MIN_SCORE else None


def read_clip(frames: Iterable[Pixels], clips: int = 1) -> Reading:
    """Read frames with the same mark together, each uint8 (H, W, 3) RGB; ValueError where there are none.

    clips: how many such clips of a video are read, of which one suffices; up to MAX_CLIPS.

    The sum of their details adds up their soft correlations. One frame is in memory at a time. Frames of another size
    than the first are left out.
    """
    total: Evidence | None = None
    for evidence in map(evidence_of, frames):
        for tile in evidence.tiles:
            tile[:] = _weighted(tile)
        if total is None:
            total = evidence
        elif (evidence.height, evidence.width) == (total.height, total.width):
            total.tiles[:] += evidence.tiles
            total.search[:] += evidence.search
    if total is None:
        raise ValueError("the clip has no frames")
    reading = read_evidence(total, MIN_SCORE if clips == 1 else MIN_CLIP_SCORE)
    return replace(reading, readings=MAX_READINGS * clips)


def _weighted(tile: Floats) -> Floats:
    """The tile of a frame times its weight among those of a clip: the square of its agreement with the pilot.

    In frames that are predicted from others, codecs move the pattern with the picture, or drop it. The pilot's key is
    independent of the code's, so the weights do not change the bound of false positives.
    """
    return tile * np.float32(max(carriers().pilot_agreement(tile), _UNMARKED_AGREEMENT) ** 2)


def read_evidence(evidence: Evidence, min_score: float = MIN_SCORE) -> Reading:
    """The first reading that is detected; where none is, the one with the highest score.

    A lower `min_score` is for measurements: the share of false positives is then `code.false_positive_bound`.
    """
    search = SearchGrid(evidence.search, evidence.height, evidence.width)
    best: Reading | None = None
    for tile, placement in _tiles(evidence, search):
        decoded = decode(carriers().soft(whiten(transform(tile))))
        if decoded.valid and decoded.score >= min_score:
            region = marked_region(search, placement, carriers().pattern(decoded.mark_id))
            return Reading(decoded.mark_id, decoded.score, True, placement, region)
        if best is None or decoded.score > best.score:
            best = Reading(decoded.mark_id, decoded.score, False, placement)
    assert best is not None
    return best


def _tiles(evidence: Evidence, search: SearchGrid) -> Iterator[tuple[Floats, Placement]]:
    """The tiles to decode, at most MAX_READINGS, with their placements."""
    height, width = evidence.height, evidence.width
    yield evidence.tiles[0], upright(height, width)
    yield evidence.tiles[1], upright(height, width, mirrored=True)
    for placement in find_placements(search):
        yield restore(search, placement), placement
    for window, placement in find_in_windows(search):
        yield restore(search, placement, window), placement
