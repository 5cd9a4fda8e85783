"""MEASURES and the schema: every column is declared, and produced by exactly one measure."""

from dataclasses import replace

import pyarrow as pa
import pytest

from curate.decode import Decoded
from curate.measure.table import MEASURES, Measure, check_measures, measure_photo, versions
from manifests.schema import PHOTO_NUMBERS, Column
from tests.samples.measured_faces import ASTRONAUT_PHOTO

ASPECT = Measure("aspect", "photo", ("aspect",), ("width", "height"), lambda width, height: {"aspect": width / height})


def test_a_measure_and_its_column_can_be_added() -> None:
    column = Column("aspect", pa.float32(), "width over height of the photo", "ratio", "the photo could not be decoded")
    check_measures((*MEASURES, ASPECT), photo_columns=(*PHOTO_NUMBERS, column))
    photo = Decoded(ASTRONAUT_PHOTO, 512, 512, "PNG", 1, ())
    assert measure_photo([ASPECT], photo) == {"aspect": 1.0}
    assert versions([replace(ASPECT, version=2)]) == {"aspect": 2}


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        ((*MEASURES, ASPECT), r"measure aspect: column aspect .* add Column\('aspect', \.\.\.\) to PHOTO_NUMBERS"),
        (
            (*MEASURES, replace(ASPECT, inputs=("crops",))),
            "measure aspect: input crops does not exist; .*pixels",
        ),
        ((*MEASURES, replace(ASPECT, columns=("phash",))), "measures hash and aspect both produce column phash"),
        ((*MEASURES, MEASURES[0]), "two measures are called hash"),
        (MEASURES[1:], "no measure produces phash, phash_mirror of PHOTO_NUMBERS"),
        (MEASURES[:-1], "no measure produces face_phash of FACE_NUMBERS"),
    ],
    ids=["undeclared column", "unknown input", "column twice", "name twice", "missing", "missing face"],
)
def test_errors_name_the_measure_and_the_next_step(measures: tuple[Measure, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_measures(measures)


def test_a_function_must_return_its_columns() -> None:
    wrong = replace(ASPECT, columns=("ratio",))
    with pytest.raises(ValueError, match=r"measure aspect returned \['aspect'\], declared are \['ratio'\]"):
        wrong(Decoded(ASTRONAUT_PHOTO, 512, 512, "PNG", 1, ()))
