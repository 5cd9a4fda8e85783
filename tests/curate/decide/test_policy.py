"""Policies: presets, files that extend them, and what is said about a mistake."""

from dataclasses import fields

import pytest

from curate.decide.policy import Policy, load_policy, presets
from curate.errors import PolicyError


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_preset_loads_and_they_differ():
    assert set(presets()) == {"default", "strict", "vggface2-hq", "keep-all"}
    assert len({load_policy(name).sha256() for name in presets()}) == 4


def test_the_default_file_names_every_threshold_at_the_value_of_the_class():
    from importlib.resources import files

    text = (files("curate.decide") / "policies" / "default.toml").read_text()
    assert load_policy("default") == Policy()
    assert all(f"{entry.name} = " in text for entry in fields(Policy))


def test_vggface2_hq_wants_250_px_and_is_the_default_otherwise():
    from dataclasses import replace

    assert load_policy("vggface2-hq") == replace(Policy(), min_side=250)


def test_a_file_extends_another_and_what_it_names_wins(tmp_path):
    (tmp_path / "base.toml").write_text('extends = "strict"\nmin_side = 100\nmin_sharpness = 0.1\n')
    policy = load_policy(written(tmp_path, 'extends = "base.toml"\nmin_sharpness = 0.3\n'))
    assert (policy.min_side, policy.min_sharpness) == (100, 0.3)
    assert policy.max_upscale == load_policy("strict").max_upscale


def test_an_integer_and_the_same_float_hash_alike(tmp_path):
    assert load_policy(written(tmp_path, "min_side = 250")).sha256() == load_policy("vggface2-hq").sha256()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_sharpnes = 0.5", "unknown key 'min_sharpnes'; did you mean 'min_sharpness'?"),
        ("zzz = 1", "unknown key 'zzz'; known: extends, min_side"),
        ("min_sharpness = 5", "min_sharpness = 5 is out of range; give 0 to 1 0-1"),
        ("min_sharpness = nan", "out of range"),
        ('min_sharpness = "high"', "min_sharpness = 'high' must be a number"),
        ("min_sharpness = true", "must be a number"),
        ("drop_duplicates = 1", "drop_duplicates = 1 must be true or false"),
        ("min_sharpness", "not valid TOML"),
        ("extends = 3", "extends = 3 must be the name"),
        ('extends = "mine.toml"', "in a circle"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_mend(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text)
    with pytest.raises(PolicyError) as error:
        load_policy("mine.toml")
    assert said in str(error.value)


def test_an_unknown_name_lists_the_presets():
    with pytest.raises(PolicyError, match=r"no policy 'strikt'.*did you mean 'strict'"):
        load_policy("strikt")


def test_describe_says_of_every_threshold_what_raising_it_does():
    rows = Policy().describe()
    assert [row["name"] for row in rows] == [entry.name for entry in fields(Policy)]
    assert all(row["raising"] and row["value"] and row["unit"] for row in rows)
