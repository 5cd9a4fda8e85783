"""Policies: the presets that ship, and files that extend them."""

from dataclasses import fields, replace

import pytest

from curate.decide.policy import POLICIES, load_policy
from curate.decide.rules import Policy
from curate.errors import PolicyError


def test_every_preset_loads_and_they_differ():
    assert set(POLICIES.names()) == {"default", "strict", "vggface2-hq", "keep-all"}
    assert len({load_policy(name).sha256() for name in POLICIES.names()}) == 4


def test_the_class_is_the_default_preset():
    assert load_policy("default") == Policy()
    # Recorded in manifests: a change of it makes training runs refuse to resume.
    assert Policy().sha256() == "d8f3760a51cff5e6633acc88f93be617c71528bbd132d1245479a90f3b606c46"


def test_vggface2_hq_requires_250_px_and_equals_the_default_otherwise():
    assert load_policy("vggface2-hq") == replace(Policy(), min_side=250)


def test_a_file_extends_another_and_its_own_keys_take_precedence(tmp_path):
    (tmp_path / "base.toml").write_text('extends = "strict"\nmin_side = 100\nmin_sharpness = 0.1\n')
    (tmp_path / "policy.toml").write_text('extends = "base.toml"\nmin_sharpness = 0.3\n')
    policy = load_policy(tmp_path / "policy.toml")
    assert (policy.min_side, policy.min_sharpness) == (100, 0.3)
    assert policy.max_upscale == load_policy("strict").max_upscale


def test_an_integer_and_the_same_float_hash_alike(tmp_path):
    (tmp_path / "policy.toml").write_text("min_side = 250")
    assert load_policy(tmp_path / "policy.toml").sha256() == load_policy("vggface2-hq").sha256()


def test_an_unknown_key_and_an_unknown_preset_are_policy_errors(tmp_path):
    (tmp_path / "policy.toml").write_text("min_sharpnes = 0.5")
    with pytest.raises(PolicyError, match=r"policy\.toml: unknown key 'min_sharpnes'; did you mean 'min_sharpness'"):
        load_policy(tmp_path / "policy.toml")
    with pytest.raises(PolicyError, match=r"no policy 'strikt'.*did you mean 'strict'"):
        load_policy("strikt")


def test_every_threshold_is_described():
    rows = Policy().describe()
    assert [row.name for row in rows] == [entry.name for entry in fields(Policy)]
    assert all(row.meaning and row.value and row.accepted for row in rows)
