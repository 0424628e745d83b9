from __future__ import annotations

import pytest

from arriero.config.document import read_document
from arriero.errors import ConfigError

TEXT = '''
[defaults]
model = "m"
system = """
retries = "not a key"
"""
options.seed = 1
[defaults.more]
x = 2

[[instance]]
name = "a"
[[instance]]
"name" = "b"   # comment
headers_env = { X-Team = "TEAM" }
'''


@pytest.fixture
def document(tmp_path):
    (tmp_path / "f.toml").write_text(TEXT, encoding="utf-8")
    return read_document(tmp_path / "f.toml", "f.toml")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("defaults",), 2),
        (("defaults", "model"), 3),
        (("defaults", "retries"), 2),
        (("defaults", "options", "seed"), 7),
        (("defaults", "more", "x"), 9),
        (("instance", 0, "name"), 12),
        (("instance", 1), 13),
        (("instance", 1, "name"), 14),
        (("instance", 1, "headers_env", "X-Team"), 15),
    ],
)
def test_a_key_is_found_on_its_line_or_the_nearest_table_around_it(document, path, line):
    assert document.where(*path) == f"f.toml:{line}"


def test_a_table_inside_another_file_is_found_with_its_lines(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.arriero.defaults]\nmodel = "m"\n')
    document = read_document(tmp_path / "pyproject.toml", "pyproject.toml", ("tool", "arriero"))

    assert document.tables == {"defaults": {"model": "m"}}
    assert document.where("defaults", "model") == "pyproject.toml:4"


def test_a_file_without_our_table_says_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')

    assert read_document(tmp_path / "pyproject.toml", "pyproject.toml", ("tool", "arriero")) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a = 1\nb = [", "f.toml:2"), (b"a = 1\nb 2", "f.toml:2:3"), (b"\xff", "UTF-8"), (b"x = 1\nx = 2", "f.toml:2")],
)
def test_a_file_that_is_no_toml_is_refused_with_its_place(tmp_path, content, message):
    (tmp_path / "f.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=message):
        read_document(tmp_path / "f.toml", "f.toml")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000 + "]" * 5000])
def test_a_number_or_a_nesting_that_python_cannot_hold_is_refused_with_the_file(tmp_path, value):
    (tmp_path / "fleet.toml").write_text(f"a = {value}")

    with pytest.raises(ConfigError, match=r"fleet\.toml: no valid TOML"):
        read_document(tmp_path / "fleet.toml", "fleet.toml")
