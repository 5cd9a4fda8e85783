"""The report in a real browser: it is rendered, and the console has no message."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cleaned

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, 1), (390, 0)])
def test_the_report_opens_without_errors(cleaned: Cleaned, tmp_path: Path, width: int, scheme: int) -> None:
    page = cleaned.out / "report/index.html"
    picture = tmp_path / "page.png"
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1400",
        f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}",
    ]  # fmt: skip
    done = subprocess.run(
        [str(BROWSER), *options, page.as_uri()], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    paper = pixels[2, 2]
    assert (paper.max() < 60) == (scheme == 0)  # 0 is dark in Chromium's settings
    drawn = (np.abs(pixels.astype(int) - paper).max(axis=2) > 40).mean()
    assert 0.03 < drawn < 0.9
