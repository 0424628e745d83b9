from __future__ import annotations

import tomllib

from arriero.config.fields import FIELDS
from arriero.config.instance_table import InstanceTable
from arriero.config.load import load
from arriero.config.sample import SAMPLE
from arriero.config.show import shown


def test_every_setting_is_shown_with_its_value_and_origin(tmp_path):
    (tmp_path / "arriero.toml").write_text(
        '[defaults]\ntimeout = "30+1/100c"\n[[instance]]\nname = "a"\nurl = "https://a"\nlimit = "2-8-64"\n'
        'stream = false\nkind = "gateway"\nendpoint = "/api/generate"\nbackend = "ollama"\napi_key_env = "KEY"\n'
        "insecure = true\n"
    )
    settings = load({"concurrency": "3x", "options": ("seed=1",)}, {"ARRIERO_MAX_ERRORS": "5%"}, tmp_path)

    rows = {row.name: (row.value, row.origin) for row in shown(settings)}

    assert rows["concurrency"] == ("3x", "-c")
    assert rows["options.seed"] == ("1", "-O")
    assert rows["max_errors"] == ("5%", "ARRIERO_MAX_ERRORS")
    assert rows["timeout"] == ("30s+1s/100c", "arriero.toml:2")
    assert rows["retries"] == ("4", "default")
    assert rows["model"] == ("-", "default")
    assert rows["unordered"] == ("false", "default")
    assert rows["instance a"][1] == "arriero.toml"
    assert rows["instance a"][0].split("  ") == [
        "https://a:443", "backend ollama", "kind gateway", "limit 2-8-64", "endpoint /api/generate", "stream false",
        "key from KEY", "TLS NOT VERIFIED",
    ]  # fmt: skip


def test_the_sample_is_valid_as_it_is_and_without_its_comment_signs(tmp_path):
    (tmp_path / "arriero.toml").write_text(SAMPLE)
    assert load({}, {}, tmp_path).origins == {"instances": "default"}

    tables = ("# model", "# concurrency", "# system", "# prompt", "# retries", "# timeout", "# max_", "# on_bad",
              "# [", "# temperature", "# num_", "# name", "# url", "# limit", "# kind", "# endpoint", "# backend",
              "# api_key_env", "# ca_file")  # fmt: skip
    lines = [line[2:] if line.startswith(tables) else line for line in SAMPLE.splitlines()]
    content = tomllib.loads("\n".join(lines))

    assert set(content["defaults"]) <= {field.name for field in FIELDS if field.in_file}
    assert all(set(table) <= set(InstanceTable.__struct_fields__) for table in content["instance"])

    (tmp_path / "corporate.pem").write_text("x")
    (tmp_path / "arriero.toml").write_text("\n".join(lines))
    settings = load({}, {}, tmp_path)
    assert len(settings.instances) == 14
    assert settings.options == {"temperature": 0, "num_ctx": 8192, "num_predict": 512}


def test_an_option_of_a_file_is_shown_with_its_own_line(tmp_path):
    (tmp_path / "arriero.toml").write_text("[defaults.options]\ntemperature = 0\nseed = 3\n")

    rows = {row.name: row.origin for row in shown(load({}, {}, tmp_path))}

    assert (rows["options.temperature"], rows["options.seed"]) == ("arriero.toml:2", "arriero.toml:3")
