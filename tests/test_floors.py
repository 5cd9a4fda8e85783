"""bench/floors.toml and bench/floors.py name the same paths."""

import ast
import tomllib
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench"


def test_every_floor_has_a_path() -> None:
    tree = ast.parse((BENCH / "floors.py").read_text())
    (pairs,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "pairs")
    (returned,) = (node.value for node in pairs.body if isinstance(node, ast.Return))
    assert isinstance(returned, ast.Dict)
    paths = [key.value for key in returned.keys if isinstance(key, ast.Constant)]
    floors = tomllib.loads((BENCH / "floors.toml").read_text())
    assert list(floors) == paths
    assert all(entry["floor"] > 1 for entry in floors.values())
