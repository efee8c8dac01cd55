"""Tools of the npm registry, for tests that are skipped where these are not to be had."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SECONDS = 120


def package(name: str, folder: Path) -> Path:
    """Unpack a package of the registry under `folder`."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    try:
        subprocess.run(
            [npm, "pack", "--silent", name], cwd=folder, check=True, capture_output=True, timeout=SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot get {name}")
    (archive,) = folder.glob("*.tgz")
    shutil.unpack_archive(archive, folder)
    return folder / "package"
