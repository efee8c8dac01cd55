"""Keys that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_ranni.errors import InputError
from lib_ranni.service.keys import KeyFile

SECRET = "sk-0123456789"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "ours" / "keys.json")


def test_a_key_is_for_its_address_and_for_this_user(keys: KeyFile, tmp_path: Path) -> None:
    keys.save("http://one/v1", f" {SECRET} ")
    keys.save("http://two/v1", "sk-other-key")
    assert keys.key_for("http://one/v1") == SECRET
    assert keys.key_for("http://three/v1") == ""
    file = tmp_path / "ours" / "keys.json"
    assert SECRET in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    keys.save("http://one/v1", "")
    assert keys.key_for("http://one/v1") == ""
    assert SECRET not in file.read_text()
    assert keys.key_for("http://two/v1") == "sk-other-key"


def test_what_is_no_key_is_refused(keys: KeyFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="copy it once more"):
        keys.save("http://one/v1", "sk-\n\u2022\u2022")
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_file_has_no_keys(keys: KeyFile, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "keys.json").write_text("{")
    assert keys.key_for("http://one/v1") == ""
    keys.save("http://one/v1", SECRET)
    assert keys.key_for("http://one/v1") == SECRET


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("a file")
    with pytest.raises(InputError, match="cannot be kept"):
        KeyFile(tmp_path / "ours" / "keys.json").save("http://one/v1", SECRET)
