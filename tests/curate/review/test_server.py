"""Requests: what other pages and hosts send is refused, names are inert, and no path of a client is opened."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from starlette.testclient import TestClient

from curate.review.pictures import Pictures
from curate.review.review import version_of
from curate.review.server import ReviewApp
from curate.review.session import Review
from manifests.reader import Dataset

PORT, TOKEN = 8765, "t" * 32
HOST = f"127.0.0.1:{PORT}"
ORIGIN = {"origin": f"http://{HOST}"}
ACT = {"action": "drop", "by": "tab", "rows": [0]}


def client(review: Review, **options: object) -> TestClient:
    dataset = Dataset.open(review.dataset)
    app = ReviewApp(review, Pictures(dataset, review.index), "set", version_of(dataset))
    return TestClient(app.guarded(PORT, TOKEN), f"http://{HOST}", **options)  # type: ignore[arg-type]


@pytest.fixture
def page(review: Review) -> Iterator[TestClient]:
    """A browser that opened the printed address."""
    browser = client(review)
    assert browser.get(f"/?token={TOKEN}").status_code == 200
    return browser


def decisions(review: Review) -> int:
    return len(review.log.entries)


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(review: Review) -> None:
    answer = client(review, follow_redirects=False).get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "path", ["/", "/review.js", "/api/state", "/api/events", f"/?token={TOKEN}x", "/?token=", "/x"]
)
def test_nothing_is_served_without_the_token(review: Review, path: str) -> None:
    answer = client(review).get(path)
    assert answer.status_code == 403
    assert "anna" not in answer.text
    assert client(review).post("/api/act", json=ACT, headers=ORIGIN).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"[::1]:{PORT}", ""]
)
def test_another_host_is_refused(page: TestClient, review: Review, host: str) -> None:
    assert page.get("/api/state", headers={"host": host}).status_code == 421
    assert page.get(f"/?token={TOKEN}", headers={"host": host}).status_code == 421
    assert page.post("/api/act", json=ACT, headers=ORIGIN | {"host": host}).status_code == 421
    assert not decisions(review)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": f"https://{HOST}"},
        ORIGIN | {"sec-fetch-site": "cross-site"},
        ORIGIN | {"sec-fetch-site": "same-site"},
    ],
)
def test_another_page_cannot_decide(page: TestClient, review: Review, headers: dict[str, str]) -> None:
    assert page.post("/api/act", json=ACT, headers=headers).status_code == 403
    for name in ("undo", "redo"):
        assert page.post(f"/api/{name}", json={"by": "tab"}, headers=headers).status_code == 403
    assert not decisions(review)


def test_another_page_cannot_show_pictures(page: TestClient) -> None:
    assert page.get("/api/state", headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert page.get("/api/state").headers["cross-origin-resource-policy"] == "same-origin"


PATHS = (
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/secret", "/etc/passwd", "-1", "1e3", "0x1", "²",
    "9" * 30, "\0", "",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_in_any_parameter_find_nothing(page: TestClient, review: Review, path: str) -> None:
    for address in (
        f"/{path}", f"/page/{path}", f"/{version_of(Dataset.open(review.dataset))}/crop/{path}", f"/{path}/crop/0",
        f"/{path}/source/0",
    ):  # fmt: skip
        assert page.get(httpx_path(address)).status_code in (404, 405) or address in ("/", "//")
    for name, query in (
        ("photo", {"row": path}), ("screen", {"key": f"person:{path}", "queue": "doubtful"}),
        ("screen", {"key": path, "queue": "all"}), ("queue", {"queue": path or "."}),
        ("queue", {"queue": f"reason:{path}"}),
    ):  # fmt: skip
        answer = page.get(f"/api/{name}", params=query)
        assert answer.status_code == 404, answer.text
        assert "root:" not in answer.text
    for values in ({"action": path}, {"queue": path, "rows": None}):
        assert page.post("/api/act", json=ACT | values, headers=ORIGIN).status_code in (400, 404)
    assert not decisions(review)


def httpx_path(address: str) -> str:
    """The address with what no address may hold encoded; dots and encoded slashes stay."""
    return address.replace("\0", "%00").replace("²", "%C2%B2")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"action":"drop"}', json.dumps(ACT | {"rows": ["0"]}).encode(),
        json.dumps(ACT | {"rows": [-1]}).encode(), json.dumps(ACT | {"rows": [10**6]}).encode(),
        json.dumps(ACT | {"rows": [2**70]}).encode(), json.dumps(ACT | {"identity": 999}).encode(),
        json.dumps(ACT | {"more": 1}).encode(), json.dumps(ACT | {"queue": "filter:x"}).encode(),
    ],
)  # fmt: skip
def test_a_body_that_is_not_understood_changes_nothing(page: TestClient, review: Review, body: bytes) -> None:
    answer = page.post("/api/act", content=body, headers=ORIGIN)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
    assert not decisions(review)


def test_a_body_without_an_end_or_too_long_is_not_read(page: TestClient) -> None:
    assert page.post("/api/act", content=b"x" * (2 << 20), headers=ORIGIN).status_code == 413
    assert page.post("/api/act", content=iter([b"x"]), headers=ORIGIN).status_code == 413


def test_names_are_values_and_the_page_runs_no_other_script(page: TestClient, review: Review) -> None:
    answer = page.get("/api/queue", params={"queue": "doubtful"})
    assert answer.headers["content-type"] == "application/json"
    assert '=<b>"x' in [title for _, title, _ in answer.json()["screens"]]
    html = page.get("/")
    assert "<b>" not in html.text
    policy = html.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "onclick=" not in html.text
    assert "http" not in html.text
    assert html.headers["x-content-type-options"] == "nosniff"


def test_a_decision_is_in_the_log_before_it_is_answered(page: TestClient, review: Review) -> None:
    answer = page.post("/api/act", json=ACT, headers=ORIGIN)
    assert answer.status_code == 200
    assert answer.json()["tiles"][0]["verdict"] == "drop"
    assert b'"anna/0.jpg,drop,,,\\n"' in review.log.path.read_bytes()
    assert page.post("/api/undo", json={"by": "another"}, headers=ORIGIN).status_code == 409
    assert page.post("/api/redo", json={"by": "tab"}, headers=ORIGIN).status_code == 409
    assert page.post("/api/undo", json={"by": "tab"}, headers=ORIGIN).json()["tiles"][0]["verdict"] == "keep"
    assert page.post("/api/redo", json={"by": "tab"}, headers=ORIGIN).json()["tiles"][0]["verdict"] == "drop"


def test_a_window_of_another_version_of_the_dataset_gets_no_pictures(page: TestClient) -> None:
    assert page.get("/0123456789abcdef/crop/0").status_code == 404


def test_a_full_disk_is_said(page: TestClient, review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    answer = page.post("/api/act", json=ACT, headers=ORIGIN)
    assert answer.status_code == 507
    assert "the disk is full" in answer.json()["error"]


def test_without_its_packages_the_command_says_what_to_install(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from curate.errors import ExtraError
    from curate.review.review import ReviewRequest, run

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ExtraError, match=r"pip install 'swapset\[review\]'"):
        run(ReviewRequest(dataset))
