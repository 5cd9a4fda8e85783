"""Error-versus-discard curves: the pairs that are counted, the orders, and the command."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import DatasetError
from curate.evaluate.discard_curve import Curve, Pairs, compare, curve
from curate.evaluate.discard_orders import Score, all_scores, oracle, tail_ranks
from tests.conftest import Cleaned, run_curate

PEOPLE, PHOTOS = 6, 20
IDENTITY = np.repeat(np.arange(PEOPLE), PHOTOS)
BAD = np.arange(PEOPLE) * PHOTOS  # the first photo of each person shows another one


def pairs() -> Pairs:
    """Compare photos of six persons, of whom each has one photo in a direction of its own."""
    random = np.random.default_rng(0)
    vectors = np.eye(2 * PEOPLE, dtype=np.float32)[IDENTITY] + 0.05 * random.normal(size=(len(IDENTITY), 2 * PEOPLE))
    vectors[BAD] = np.eye(2 * PEOPLE)[PEOPLE:] + 0.05 * random.normal(size=(PEOPLE, 2 * PEOPLE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return compare(vectors.astype(np.float32), IDENTITY, 1e-3, random, "data")


def test_a_pair_is_missed_where_one_of_its_photos_shows_somebody_else() -> None:
    compared = pairs()
    assert compared.total == PEOPLE * PHOTOS * (PHOTOS - 1) // 2
    assert compared.false_non_matches == PEOPLE * (PHOTOS - 1)


def test_the_threshold_lets_the_given_share_of_other_pairs_match() -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    identity = np.arange(300) % 30
    compared = compare(vectors, identity, 0.01, random, "data")
    other = (vectors @ vectors.T)[np.triu(identity[:, None] != identity, 1)]
    assert (other >= compared.threshold).mean() == pytest.approx(0.01, abs=1e-3)


def test_dropping_the_bad_photos_first_removes_all_misses_and_last_none() -> None:
    compared = pairs()
    good = np.setdiff1d(np.arange(len(IDENTITY)), BAD)
    share = PEOPLE / len(IDENTITY)
    first = curve(compared, np.concatenate([BAD, good]), (0, share))
    assert first.missed.tolist() == [compared.false_non_matches, 0]
    assert first.photos.tolist() == [len(IDENTITY), len(good)]
    last = curve(compared, np.concatenate([good, BAD]), (0, share))
    assert last.fnmr[1] >= last.fnmr[0]
    assert first.relative_area == pytest.approx(0.5)  # from all to none on a straight line


def test_the_oracle_drops_exactly_the_bad_photos_first() -> None:
    order = np.argsort(oracle(pairs(), np.random.default_rng(0)))
    assert sorted(order[:PEOPLE]) == BAD.tolist()


def test_random_draws_keep_the_rate_and_have_a_spread() -> None:
    compared, random = pairs(), np.random.default_rng(2)
    draws = [curve(compared, random.permutation(len(IDENTITY)), (0, 0.2)) for _ in range(40)]
    mean = Curve.of_draws(draws)
    assert mean.fnmr[1] == pytest.approx(mean.fnmr[0], rel=0.1)
    assert mean.low[1] < mean.fnmr[1] < mean.high[1]


def test_photos_without_a_value_and_equally_good_ones_are_dropped_last() -> None:
    photos = pa.table({"sharpness": pa.array([0.9, 0.1, None, 0.5, None])})
    score = Score("sharpness", ("sharpness",), lambda value: -value)
    rank = tail_ranks(score, photos, np.random.default_rng(0))
    assert rank.argsort(kind="stable").tolist() == [1, 3, 0, 2, 4]
    assert rank[[2, 4]].tolist() == [1, 1]


def test_all_scores_take_the_worst_of_each_photo() -> None:
    ranks = [np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.4, 0.2])]
    assert all_scores(ranks, np.random.default_rng(0)).argsort().tolist() == [0, 2, 1]


def test_too_few_pairs_for_the_rate_are_refused() -> None:
    vectors = np.eye(4, dtype=np.float32)
    with pytest.raises(DatasetError, match="data: 4 pairs of two identities are too few for a false match rate of"):
        compare(vectors, np.array([0, 0, 1, 1]), 1e-3, np.random.default_rng(0), "data")


def test_the_command_writes_the_curves_of_a_dataset(cleaned: Cleaned, tmp_path: Path) -> None:
    # At the usual rate of .001, so few pairs of two people decide on the threshold alone.
    done = run_curate("evaluate", "--discard", cleaned.out, "--fmr", "0.05", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "false non-matches while the worst photos are dropped first" in done.stdout
    rows = pq.read_table(tmp_path / "discard.parquet").to_pylist()
    at_start = {row["order"]: row["fnmr"] for row in rows if row["share"] == 0}
    assert {"random", "oracle", "all scores", "sharpness", "wrong person"} <= at_start.keys()
    assert len(set(at_start.values())) == 1
    dropped = {row["order"]: row for row in rows}["policy, dropped"]
    assert dropped["fnmr"] < at_start["random"]  # eight planted persons are dropped
    svg = ElementTree.parse(tmp_path / "discard.svg").getroot()
    assert len(svg.findall("{http://www.w3.org/2000/svg}polyline")) >= 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the layout of a folder of photos, or --discard DATASET"),
        (["folder", "--discard", "curated"], "'folder' is not needed: --discard reads a curated dataset"),
        (["--discard", "curated", "--fmr", "2"], "fmr 2 is out of range"),
    ],
)
def test_a_mistaken_command_is_a_usage_error(arguments: list[str], message: str) -> None:
    done = run_curate("evaluate", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
