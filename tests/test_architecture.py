"""The one direction of imports, and programs that answer at once."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"manifests": {"manifests"}, "curate": {"manifests", "curate"}, "train": {"manifests", "curate", "train"}}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        ours = imported(path) & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("arguments", ["--help", "clean --help", "models --help", "export hf --help"])
def test_help_needs_nothing_heavy(arguments: str) -> None:
    code = (
        f"import sys, runpy; sys.argv = ['curate', *{arguments.split()!r}]\n"
        "try:\n    runpy.run_module('curate.cli', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'cv2', 'pandas', 'pyarrow', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_command_and_option_is_explained() -> None:
    import typer

    from curate.cli import app

    def commands(group: object, path: str) -> None:
        for name, command in getattr(group, "commands", {}).items():
            assert command.help, f"curate {path}{name} has no help"
            for parameter in command.params:
                if parameter.name != "help":
                    assert getattr(parameter, "help", None), f"curate {path}{name}: {parameter.name} has no help"
            commands(command, f"{path}{name} ")

    commands(typer.main.get_command(app), "")
