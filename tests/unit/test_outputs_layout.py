from pathlib import Path

import pytest

from arriero.config.formats import output_paths
from arriero.outputs.layout import layout


@pytest.mark.parametrize("name", ["out/r.json", "out/r.jsonl", "out/r"])
def test_openai_writes_name_jsonl_and_name_errors_jsonl(name):
    assert output_paths(name, "openai") == (Path("out/r.jsonl"), Path("out/r.errors.jsonl"))


@pytest.mark.parametrize("output_format", ["json", "jsonl"])
def test_the_other_formats_write_the_file_that_was_named(output_format):
    assert output_paths("out/r.txt", output_format) == (Path("out/r.txt"),)


def test_only_openai_keeps_failures_apart():
    assert [layout(name).split for name in ("json", "jsonl", "openai")] == [False, False, True]
