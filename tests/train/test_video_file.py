"""Files that FFmpeg would take for addresses or lists of other files cause no request and are no videos."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from tests.samples.videos import moving, write_video
from train.errors import TargetError
from train.marks.verify import verify
from train.swap.targets import is_video
from train.video_file import NotVideoError, open_video_file

INVALID = "Invalid data found when processing input"


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """Context manager: a local server; yield its port, and what others have sent."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(1)
                    requests.append(connection.recv(1000) or b"a connection")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], requests
        finally:
            stop.set()
            thread.join()


def playlists(port: int, video: Path) -> dict[str, bytes]:
    """Name -> text that names an address, or the file `video`."""
    address = f"http://127.0.0.1:{port}/x"
    return {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}.ts\n#EXT-X-ENDLIST\n".encode(),
        "m3u8 file": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{video}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile {video}\n".encode(),
        "concat http": f"ffconcat version 1.0\nfile {address}.mp4\n".encode(),
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n".encode(),
        "dash": f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL></MPD>'.encode(),
        "rtsp": f"[Reference]\nRef1=http://127.0.0.1:{port}/x\n".encode(),
        "subtitles": b"1\n00:00:00,000 --> 00:00:09,000\ntext\n" * 9,
        "ffmetadata": b";FFMETADATA1\ntitle=x\n",
    }


def test_the_server_of_this_test_sees_what_ffmpeg_asks() -> None:
    """Without this, the other tests could not fail."""
    with listening() as (port, requests), pytest.raises((av.FFmpegError, OSError)):
        av.open(f"http://127.0.0.1:{port}/x.mp4")
    assert requests[0].startswith(b"GET /x.mp4")


def test_no_name_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with listening() as (port, requests):
        for scheme in ("http", "tcp", "hls+http", "crypto+http", "async:http", "cache:http"):
            name = Path(f"{scheme}:127.0.0.1:{port}.mp4")
            name.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
            verdict = verify(name)
            assert verdict.state == "unreadable"
            with pytest.raises(TargetError, match="cannot be read as a photo or video"):
                is_video(name)
    assert not requests


def test_lists_of_other_files_are_no_videos(tmp_path: Path) -> None:
    video = tmp_path / "real.mp4"
    write_video(video, moving(4))
    assert verify(video).state == "unmarked"
    with listening() as (port, requests):
        for name, text in playlists(port, video).items():
            path = tmp_path / f"{name}.mp4"
            path.write_bytes(text)
            assert verify(path).error in ("not a video in a supported container", INVALID)
            with pytest.raises((NotVideoError, av.FFmpegError)), open_video_file(path):
                pass
    assert not requests


def test_a_pattern_in_a_name_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "img%03d.mp4"
    write_video(path, moving(4))
    assert verify(path).state == "unmarked"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert verify(tmp_path / "pipe.mp4").error == "not a regular file"
    with pytest.raises(OSError, match="not a regular file"), open_video_file(tmp_path / "pipe.mp4"):
        pass
