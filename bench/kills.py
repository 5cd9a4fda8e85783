"""Kills, full disks, sources that change and second processes, for every command that writes.

    python -m bench.kills [--kills 100] [--chain 4] [--seed 0] [--seconds 600] [--commands clean,fit] [--scenes kills]

Protocol. Each command (bench/writing/commands.py) first runs undisturbed; what it leaves is expected. Then:

- kills: it is started and killed at a random share of its CPU time, by SIGKILL or SIGINT in turn. Whatever has a final
  name must be what is expected there. After `--chain` kills in one folder it runs to its end: exit code, all files and
  their contents as expected, no unfinished file. After SIGINT there is no traceback.
- disk: OUT is a tmpfs of ten sizes between too small and sufficient. The exit code is 4 and one line names the remedy;
  nothing wrong has a final name; with more space the same command completes. Needs the right to mount.
- sources: at a random moment a photo is replaced, cut in half or removed. No traceback; the same command, run again,
  leaves what a run on the changed photos leaves (and results of photos that are gone).
- processes: two are started at once. One ends with exit code 5, or after the other; the result is as expected.

Contents are compared by bytes; photos and videos that are signed, by pixels; of files that hold durations, whether they
are whole. Prints a Markdown table of trials and of what was found wrong; every fault is a line on stderr. A scene ends
after `--seconds`.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.writing.command import Contents, Tally, WritingCommand, recorded_results
from bench.writing.commands import COMMANDS
from bench.writing.inputs import prepare
from bench.writing.warm import import_modules_of, share_networks, shorten
from manifests.partials import is_temporary

SIZES = 10
_FULL = ("the disk is full", "No space left on device")
_BUSY = ("is in use by another run", "is open already in a `curate review` or `curate audit`")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nothing disturbs: exit code, contents, recorded results, CPU seconds, bytes written."""

    code: int
    contents: Contents
    results: list[str]
    cpu: float
    size: int


class Scene:
    """Trials of one command in one folder. folder: holds OUT and logs. inputs: see `prepare`."""

    def __init__(self, command: WritingCommand, inputs: Path, folder: Path, rng: random.Random) -> None:
        self.command, self.inputs, self.rng = command, inputs, rng
        self.out, self.log = folder / "out", folder / "log.txt"
        self.tally = Tally()

    def fresh(self) -> None:
        """Make OUT as it is before the command."""
        shutil.rmtree(self.out, ignore_errors=True)
        if self.command.before:
            self.command.before(self.inputs, self.out)

    def run(self) -> int:
        """Run the command to its end; its exit code."""
        return _wait(self.command.spawn(self.inputs, self.out, self.log))

    def undisturbed(self) -> Undisturbed:
        self.fresh()
        before = _size(self.out)
        child = self.command.spawn(self.inputs, self.out, self.log)
        _, status, usage = os.wait4(child, 0)
        contents = self.command.contents(self.out)
        cpu = usage.ru_utime + usage.ru_stime
        code = os.waitstatus_to_exitcode(status)
        return Undisturbed(code, contents, recorded_results(self.out), cpu, _size(self.out) - before)

    def result_exists(self, expected: Undisturbed) -> bool:
        """Whether all of the result is there: a command that replaces none would then be refused."""
        return self.command.contents(self.out) == expected.contents

    def fault(self, text: str) -> None:
        self.tally.wrong.append(text)
        print(f"{self.command.name}: {text}\n{self.log.read_text()[-1500:]}", file=sys.stderr, flush=True)

    def check_names(self, expected: Undisturbed, when: str) -> None:
        """Whether every file with a final name is what is expected there."""
        contents, replaced = self.command.contents(self.out), self.command.replaced or ("\0",)
        final = {name: held for name, held in contents.items() if not name.startswith(replaced)}
        wrong = [name for name, held in final.items() if expected.contents.get(name) != held]
        if wrong:
            self.fault(f"{when}: wrong under a final name: {', '.join(wrong)}")

    def check_complete(self, expected: Undisturbed, when: str, *, more: bool = False) -> None:
        """Run to the end and compare with what is expected. more: there may be other files too."""
        code = self.run()
        found, left = self.command.contents(self.out), [path for path in self.out.rglob("*") if is_temporary(path.name)]
        if code != expected.code:
            self.fault(f"{when}: the next run ended with {code}")
        elif found != expected.contents and not (more and expected.contents.items() <= found.items()):
            differ = sorted(k for k in found | expected.contents if found.get(k) != expected.contents.get(k))
            self.fault(f"{when}: the next run left other contents: {', '.join(differ)}")
        elif not set(expected.results) <= set(recorded_results(self.out)):
            self.fault(f"{when}: the next run recorded {recorded_results(self.out)}")
        if left:
            self.fault(f"{when}: left behind: {', '.join(map(str, left))}")

    def check_log(self, when: str) -> None:
        text = self.log.read_text()
        if "Traceback" in text or "Exception ignored" in text:
            self.fault(f"{when}: a traceback")


def kills(scene: Scene, count: int, chain: int, until: float) -> None:
    """Kill at random moments."""
    expected = scene.undisturbed()
    ended = False
    for number in range(count):
        if number % chain == 0 or ended:
            scene.fresh()
        share = scene.rng.uniform(0.0, 1.05)
        kind = (signal.SIGKILL, signal.SIGINT)[number % 2]
        child = scene.command.spawn(scene.inputs, scene.out, scene.log)
        _when(child, share * expected.cpu + 0.01, lambda child=child, kind=kind: os.killpg(child, kind))
        code = _wait(child)
        scene.tally.trials += 1
        when = f"kill {number}, {kind.name} at {share:.2f}, exit code {code}"
        if kind == signal.SIGINT:
            scene.check_log(when)
            if code not in (expected.code, 130, -signal.SIGINT):
                scene.fault(f"{when}: not 130")
        scene.check_names(expected, when)
        last = number == count - 1 or time.monotonic() > until
        ended = bool(scene.command.once) and scene.result_exists(expected)
        if (number % chain == chain - 1 or last) and not ended:
            scene.check_complete(expected, when)
        if last:
            return


def disk(scene: Scene, until: float) -> None:
    """Ten sizes of a tmpfs."""
    mount = scene.out.parent / "tmpfs"
    mount.mkdir(exist_ok=True)
    scene.out = mount / "out"
    if _mount(mount, "size=1g"):
        print(f"{scene.command.name}: no right to mount a tmpfs, not tried", file=sys.stderr)
        return
    try:
        expected = scene.undisturbed()
        for number in range(SIZES):
            _mount(mount, "remount,size=1g")
            scene.fresh()
            size = _size(scene.out) + int(expected.size * (number + 0.5) / SIZES)
            _mount(mount, f"remount,size={max(size, 4096)}")
            code = scene.run()
            scene.tally.trials += 1
            when = f"disk of {size:,} bytes, exit code {code}"
            lines = scene.log.read_text().splitlines()
            # A record of progress may have had no space that the results did not need.
            if code != expected.code and (code != 4 or not any(text in lines[-1] for text in _FULL)):
                scene.fault(f"{when}: no message of a full disk")
            scene.check_log(when)
            scene.check_names(expected, when)
            _mount(mount, "remount,size=1g")
            if not (scene.command.once and scene.result_exists(expected)):
                scene.check_complete(expected, when)
            if time.monotonic() > until:
                return
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def sources(scene: Scene, count: int, until: float) -> None:
    """Replace, cut or remove a photo at a random moment."""
    if not scene.command.reads:
        return
    original, folder = scene.inputs, scene.out.parent / "changing"
    cpu = scene.undisturbed().cpu
    for number in range(count):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for entry in original.iterdir():
            (folder / entry.name).symlink_to(entry)
        (folder / scene.command.reads).unlink()
        shutil.copytree(original / scene.command.reads, folder / scene.command.reads)
        scene.inputs = folder
        photos = sorted(path for path in (folder / scene.command.reads).rglob("*.*") if path.is_file())
        photo, other = scene.rng.sample(photos, 2)
        kind = ("replaced", "cut", "removed")[number % 3]
        scene.fresh()
        child = scene.command.spawn(scene.inputs, scene.out, scene.log)
        _when(child, scene.rng.uniform(0.0, 1.0) * cpu, lambda p=photo, o=other, k=kind: _change(p, o, k))
        code = _wait(child)
        scene.tally.trials += 1
        when = f"{photo.name} {kind}, exit code {code}"
        scene.check_log(when)
        if code not in (0, 14):
            scene.fault(f"{when}: stopped")
        disturbed = scene.out.parent / "disturbed"
        shutil.rmtree(disturbed, ignore_errors=True)
        scene.out.rename(disturbed)
        expected = scene.undisturbed()
        shutil.rmtree(scene.out)
        disturbed.rename(scene.out)
        scene.check_complete(expected, when, more=kind == "removed")
        if time.monotonic() > until:
            return


def processes(scene: Scene, count: int, until: float) -> None:
    """Two processes on one OUT."""
    expected = scene.undisturbed()
    second = scene.log.with_name("second.txt")
    for number in range(count):
        scene.fresh()
        children = [scene.command.spawn(scene.inputs, scene.out, log) for log in (scene.log, second)]
        codes = sorted(_wait(child) for child in children)
        scene.tally.trials += 1
        when = f"two processes {number}, exit codes {codes}"
        text = scene.log.read_text() + second.read_text()
        allowed = {5, expected.code, scene.command.once}
        if expected.code not in codes or not set(codes) <= allowed or "Traceback" in text:
            scene.fault(when)
        if 5 in codes and not any(busy in text for busy in _BUSY):
            scene.fault(f"{when}: no clear message")
        if scene.command.once:
            scene.check_names(expected, when)
        else:
            scene.check_complete(expected, when)
        if time.monotonic() > until:
            return


def _when(child: int, cpu: float, act: Callable[[], None]) -> None:
    """Call `act` when the child process has used this much CPU time, unless it ends before."""
    try:
        while _cpu(child) < cpu:
            time.sleep(0.002)
        act()
    except (FileNotFoundError, ProcessLookupError, ChildProcessError):
        return


def _cpu(child: int) -> float:
    """CPU seconds that a process has used. Raises FileNotFoundError where it has ended."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise FileNotFoundError
    return (int(fields[11]) + int(fields[12])) / _TICK


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _size(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _mount(folder: Path, options: str) -> int:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode


def _change(photo: Path, other: Path, kind: str) -> None:
    if kind == "removed":
        photo.unlink()
    elif kind == "cut":
        os.truncate(photo, photo.stat().st_size // 2)
    else:
        photo.write_bytes(other.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--chain", type=int, default=1, help="kills before a run to the end")
    parser.add_argument("--trials", type=int, default=6, help="of changing sources, and of two processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0, help="of one scene of one command")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--scenes", default="kills,disk,sources,processes")
    parser.add_argument("--folder", type=Path, help="keeps the inputs; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        os.environ["SWAPSET_HOME"] = str(folder / "home")
        inputs = prepare(folder)
        share_networks()
        shorten()
        scenes: dict[str, Callable[[Scene, float], None]] = {
            "kills": lambda scene, until: kills(scene, options.kills, options.chain, until),
            "disk": disk,
            "sources": lambda scene, until: sources(scene, options.trials, until),
            "processes": lambda scene, until: processes(scene, options.trials, until),
        }
        chosen = options.scenes.split(",")
        print(f"| command | {' | '.join(f'{name}: trials, wrong' for name in chosen)} |")
        print(f"|---|{'---|' * len(chosen)}", flush=True)
        for name in options.commands.split(","):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                import_modules_of(COMMANDS[name], inputs, Path(place))
            cells = []
            for title in chosen:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    scene = Scene(COMMANDS[name], inputs, Path(place), random.Random(f"{options.seed} {name} {title}"))
                    scenes[title](scene, time.monotonic() + options.seconds)
                    cells.append(f"{scene.tally.trials}, {len(scene.tally.wrong)}" if scene.tally.trials else "-")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
