"""The structure of the repository: directed imports, no cycles, small files, light `--help`, standard English."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

from tests.conftest import ROOT

MAY_IMPORT = {"manifests": {"manifests"}, "curate": {"manifests", "curate"}, "train": {"manifests", "curate", "train"}}
FOLDERS = {".ci", "bench", "curate", "docs", "examples", "manifests", "tests", "train"}
MAX_LINES = 350
DIALECT = re.compile(r"\b(told|mine|theirs|somebody|nobody|vouch|vouches)\b", re.IGNORECASE)
HEAVY = ("torch", "cv2", "pandas", "pyarrow", "numpy")

SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.js"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules of this repository that a file imports, also inside functions.

    Imports under `if TYPE_CHECKING` do not count: they never run.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        packages = {name.split(".")[0] for name in imports(path)} & MAY_IMPORT.keys()
        assert packages <= MAY_IMPORT[package], f"{path} imports {packages - MAY_IMPORT[package]}"


def test_no_import_cycles() -> None:
    graph = {name: {other for other in imports(path) if other in MODULES} for name, path in MODULES.items()}
    finished: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        assert name not in trail, "import cycle: " + " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in sorted(graph[name]):
                visit(other, [*trail, name])
            finished.add(name)

    for name in sorted(graph):
        visit(name, [])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_is_small_and_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES, f"over {MAX_LINES} lines: split it by noun"
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_of_a_page_is_small_and_explained(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES, f"over {MAX_LINES} lines: split it by noun"
    assert text.startswith("// "), "no comment at the top"


def test_no_results_of_a_run_are_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files", "*/*"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    assert {name.partition("/")[0] for name in tracked.stdout.splitlines()} <= FOLDERS


def test_text_is_standard_technical_english() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    this = Path(__file__).resolve()
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in tracked.stdout.splitlines()
        if name.endswith((".py", ".md", ".toml", ".html", ".js")) and (ROOT / name).resolve() != this
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if DIALECT.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("program", ["curate", "train"])
@pytest.mark.parametrize("arguments", ["--help", "{command} --help"])
def test_help_needs_nothing_heavy(program: str, arguments: str) -> None:
    words = arguments.format(command={"curate": "clean", "train": "fit"}[program]).split()
    code = (
        f"import sys, runpy; sys.argv = [{program!r}, *{words!r}]\n"
        f"try:\n    runpy.run_module('{program}.cli', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"heavy = set({HEAVY!r}) & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize("program", ["curate", "train"])
def test_every_command_and_option_is_explained(program: str) -> None:
    def check(group: object, path: str) -> None:
        for name, command in getattr(group, "commands", {}).items():
            assert command.help, f"{path} {name} has no help"
            for parameter in command.params:
                if parameter.name != "help":
                    assert getattr(parameter, "help", None), f"{path} {name}: {parameter.name} has no help"
            check(command, f"{path} {name}")

    check(typer.main.get_command(import_module(f"{program}.cli").app), program)
