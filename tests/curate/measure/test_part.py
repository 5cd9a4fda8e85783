"""curate/measure/part.py: parts of a measurement, from i/n or from the environment of a job array."""

import pytest

from curate.measure.part import Part, array_expression, parse_part

SLURM = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_MAX": "13"}


def test_every_shard_is_in_one_part() -> None:
    for count in (1, 3, 7, 20):
        parts = [Part(index, count).buckets(16) for index in range(count)]
        assert sorted(bucket for part in parts for bucket in part) == list(range(16))


@pytest.mark.parametrize(
    ("text", "environment", "part"),
    [
        ("3/64", {}, Part(3, 64)),
        ("3/64", SLURM, Part(3, 64)),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_COUNT": "4"}, Part(2, 4)),
        ("auto", {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "5"}, Part(0, 5)),
    ],
)
def test_a_part_is_parsed(text: str, environment: dict[str, str], part: Part) -> None:
    assert parse_part(text, environment) == part


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("64/64", {}, "--part 64/64: i of i/n is from 0 to n - 1"),
        ("0/0", {}, "--part 0/0: i of i/n"),
        ("-1/4", {}, "--part -1/4: give i/n, part i"),
        ("3", {}, "--part 3: give i/n, part i"),
        ("auto", {}, "has JOB_COMPLETION_INDEX='': run it in a Slurm array"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "has JOB_COMPLETIONS=''"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_COUNT": "3"}, r"from 10 to 13 has 3 tasks, so it has gaps: .* --part 12/N"),
    ],
)
def test_what_is_no_part(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_part(text, environment)


@pytest.mark.parametrize(("indices", "expression"), [([], ""), ([4], "4"), ([0, 3, 4, 5, 9, 10], "0,3-5,9-10")])
def test_indices_as_an_array_expression(indices: list[int], expression: str) -> None:
    assert array_expression(indices) == expression
