"""`simswap verify`: verdicts on photos and videos, output and exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from curate.errors import SourceError
from manifests.errors import OutputError
from tests.samples.marks import MARK_ID, Pixels, decoded, encoded
from train.cli import app
from train.marks import media
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata.aigc import aigc_fields
from train.marks.metadata.photo_file import write_aigc
from train.marks.scan import verify_files
from train.marks.verify import verify
from train.marks.watermark.mark import InvisibleWatermark


def write_video(path: Path, frames: Pixels, tags: dict[str, str]) -> None:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", 25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "23"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_a_marked_photo_shows_all_marks(photo: Pixels, tmp_path: Path) -> None:
    marker = Marker(Marking(MARK_ID, label="zh", corner="top-left"))
    path = tmp_path / "marked.webp"
    path.write_bytes(encoded(marker.frames(photo[None])[0], "WEBP"))
    marker.seal(path, Provenance())
    verdict = verify(path)
    assert verdict.marked
    output = "\n".join(verdict.to_lines())
    for part in ("marked as AI-made", "ID 00c0ffee", "ProduceID 00c0ffee", "visible-label=zh", "trusted, signed by"):
        assert part in output
    document = verdict.to_dict()
    assert list(document) == ["file", "kind", "marked", "state", "watermark", "metadata", "credentials"]
    assert document["watermark"]["id"] == "00c0ffee"
    assert document["metadata"] == aigc_fields("swapset", MARK_ID, "zh")
    assert document["credentials"]["state"] == "trusted"

    # Encoding the pixels again removes metadata and credentials, not the watermark.
    stripped = tmp_path / "stripped.jpg"
    stripped.write_bytes(encoded(decoded(path.read_bytes()), "JPEG"))
    document = verify(stripped).to_dict()
    assert document["marked"]
    assert document["watermark"]["detected"]
    assert document["metadata"] is None
    assert document["credentials"]["state"] == "absent"


def test_an_unmarked_photo_shows_none(photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "plain.webp"
    path.write_bytes(encoded(photo, "WEBP"))
    verdict = verify(path)
    assert not verdict.marked
    assert verdict.to_lines() == [
        f"{path}: not marked",
        "  watermark    none detected",
        "  metadata     no AIGC field",
        "  credentials  none",
    ]
    assert verdict.to_dict()["watermark"]["id"] is None


def test_a_video_shows_watermark_and_metadata(photo: Pixels, tmp_path: Path) -> None:
    marker = Marker(Marking(MARK_ID))
    frames = np.repeat(photo[None], 30, axis=0)
    marked, plain = tmp_path / "marked.mp4", tmp_path / "plain.mp4"
    write_video(marked, marker.frames(frames), marker.tags("mp4"))
    write_video(plain, frames, {})
    document = verify(marked).to_dict()
    assert (document["kind"], document["marked"]) == ("video", True)
    assert document["watermark"]["id"] == "00c0ffee"
    assert document["metadata"] == aigc_fields("swapset", MARK_ID, "both")
    assert document["credentials"]["state"] == "absent"
    marker.seal(marked, Provenance(), "mp4")
    assert verify(marked).to_dict()["credentials"]["state"] == "trusted"
    assert not verify(plain).marked
    assert verify(plain).to_dict()["metadata"] is None
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", str(marked)]
        tags = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]["tags"]
        assert json.loads(tags["AIGC"]) == document["metadata"]


def test_videos_are_found_by_content(photo: Pixels, tmp_path: Path) -> None:
    frames = Marker(Marking(MARK_ID)).frames(np.repeat(photo[None], 4, axis=0))
    for name in ("tv.ts", "disc.vob", "clip.avi", "clip.mkv"):
        write_video(tmp_path / name, frames, {})
    (tmp_path / "script.ts").write_text("export const x = 1;")
    names = [path.name for path in media.media_files([tmp_path])]
    assert names == ["clip.avi", "clip.mkv", "disc.vob", "tv.ts"]
    (tmp_path / "clip.mkv").rename(tmp_path / "clip.jpg")
    (tmp_path / "tv.ts").rename(tmp_path / "recording")
    for name in ("clip.jpg", "recording", "disc.vob"):
        verdict = verify(tmp_path / name)
        assert (verdict.kind, verdict.marked) == ("video", True), name
    assert verify(tmp_path / "script.ts").state == "unreadable"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_exit_codes_and_output(photo: Pixels, tmp_path: Path) -> None:
    marker, folder = Marker(Marking(MARK_ID)), tmp_path / "out"
    (folder / "below").mkdir(parents=True)
    marked = folder / "below/marked.png"
    marked.write_bytes(encoded(marker.frames(photo[None])[0], "PNG"))
    done = run(folder, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["watermark"]["id"] == "00c0ffee"
    assert document["file"] == str(marked)

    (folder / "plain.jpg").write_bytes(encoded(photo, "JPEG"))
    done = run(folder)
    assert done.exit_code == 12
    assert "plain.jpg: not marked" in done.stdout

    (folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (folder / "broken.mp4").write_bytes(b"nothing")
    done = run(folder, tmp_path / "gone.png")
    assert done.exit_code == 3
    assert "broken.jpg: cannot be read: corrupt data" in done.stdout
    assert "broken.mp4: cannot be read: Invalid data found" in done.stdout
    assert "gone.png: cannot be read: No such file or directory" in done.stdout


def test_the_page_lists_every_file(photo: Pixels, tmp_path: Path) -> None:
    folder, page = tmp_path / "in", tmp_path / "marks.html"
    folder.mkdir()
    (folder / "a<b.png").write_bytes(encoded(Marker(Marking(MARK_ID)).frames(photo[None])[0], "PNG"))
    (folder / "plain.jpg").write_bytes(encoded(photo, "JPEG"))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (tmp_path / ".marks.html.partial-1234abcd").touch()  # of a run that was killed
    assert run(folder, "--page", page, "--workers", 2).exit_code == 3
    assert not list(tmp_path.glob(".*"))
    text = page.read_text()
    assert "1 marked, 1 unmarked, 1 unreadable" in text
    assert "a&lt;b.png" in text
    assert "ID 00c0ffee" in text


def test_a_folder_in_place_of_the_page_is_refused_before_files_are_read(tmp_path: Path) -> None:
    done = run(tmp_path / "missing.jpg", "--page", tmp_path)
    assert isinstance(done.exception, OutputError)
    assert "is a folder: give the name of an HTML file, such as" in str(done.exception)
    assert done.stdout == ""


def test_verdicts_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.png" for k in range(30)]
    for path in paths:
        path.write_bytes(b"\x89PNG nothing")
    assert [verdict.path for verdict in verify_files(paths, threads=3)] == paths


def test_a_mark_that_begins_late_in_a_video_is_found(
    photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MAX_FRAMES", 12)
    marked = Marker(Marking(MARK_ID), marks=(InvisibleWatermark,)).frames(photo[None])
    path = tmp_path / "long.mp4"
    write_video(path, np.concatenate([np.repeat(photo[None], 40, axis=0), np.repeat(marked, 12, axis=0)]), {})
    document = verify(path, marks=(InvisibleWatermark,)).to_dict()
    assert document["watermark"]["id"] == "00c0ffee"
    assert document["watermark"]["second"] > 1


def test_the_stand_alone_detector_needs_no_framework(photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "marked.png"
    path.write_bytes(encoded(Marker(Marking(MARK_ID)).frames(photo[None])[0], "PNG"))
    program = (
        "import sys\nfrom train.detector import main\ntry:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'torchvision', 'pandas', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), "--json"], capture_output=True, text=True, check=True
    )
    document, modules = done.stdout.splitlines()
    assert json.loads(document)["watermark"]["id"] == "00c0ffee"
    assert modules == "[]"


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    error = run(tmp_path).exception
    assert isinstance(error, SourceError)
    assert "no photo or video found; give a file or another folder" in str(error)


def test_metadata_alone_and_credentials_of_other_bytes_have_exit_codes_of_their_own(
    photo: Pixels, tmp_path: Path
) -> None:
    marker, plain = Marker(Marking(MARK_ID)), encoded(photo, "PNG")
    forged, changed = tmp_path / "forged.png", tmp_path / "changed.png"
    forged.write_bytes(write_aigc(plain, aigc_fields("swapset", MARK_ID, "zh")))
    changed.write_bytes(encoded(marker.frames(photo[None])[0], "PNG"))
    marker.seal(changed, Provenance())
    changed.write_bytes(changed.read_bytes().replace(b"00c0ffee", b"00c0ffef", 1))

    done = run(forged)
    assert done.exit_code == 18
    assert "forged.png: marked as AI-made by metadata alone, which any editor can write" in done.stdout
    assert run(forged, changed).exit_code == 19
    assert verify(changed).state == "invalid"
    assert "changed.png: content credentials INVALID" in run(changed).stdout


def test_credentials_that_declare_no_model_are_no_mark() -> None:
    from train.marks.credentials.signature import _from_store

    actions = [{"action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/{}"}]
    for term, ai_made in (("digitalCapture", False), ("trainedAlgorithmicMedia", True)):
        store = json.loads(
            json.dumps(
                {
                    "active_manifest": "a",
                    "validation_state": "Valid",
                    "manifests": {"a": {"assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}]}},
                }
            ).replace("{}", term)
        )
        assert _from_store(store).ai_made is ai_made
