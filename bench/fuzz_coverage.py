"""Coverage-guided fuzzing of one target with atheris (libFuzzer), which is no dependency: install it to run this.

    uv run --with atheris python -m bench.fuzz_coverage png -max_total_time=120

Python code of this project and of Pillow is instrumented; C libraries are not, so for them `bench.fuzz` is as good.
Options after the target are libFuzzer's. A find is written as `crash-HASH` into the current folder.
"""

import sys
import tempfile
from pathlib import Path

from bench.fuzz_targets import TARGETS


def main() -> None:
    """Fuzz a target until an option of libFuzzer ends it, or a find does."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: uv run --with atheris python -m bench.fuzz_coverage TARGET")
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m bench.fuzz_coverage TARGET [options of libFuzzer]; targets: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-coverage-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    with atheris.instrument_imports(include=["curate", "manifests", "train", "PIL", "zipfile", "tarfile"]):
        for number, seed in enumerate(target.seeds()):
            (corpus / str(number)).write_bytes(seed)
            (folder / target.name).write_bytes(seed)
            try:
                target.read(folder / target.name)  # imports everything
            except target.errors:
                continue

    def read(data: bytes) -> None:
        (folder / target.name).write_bytes(data)
        try:
            target.read(folder / target.name)
        except target.errors:
            return

    atheris.Setup([sys.argv[0], *sys.argv[1:], str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
