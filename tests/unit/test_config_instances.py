from __future__ import annotations

import re

import pytest

from arriero.config.document import read_document
from arriero.config.instances import instances_from_document, instances_from_urls
from arriero.core.instance import InstanceLimit
from arriero.errors import ConfigError


def fleet(tmp_path, text):
    (tmp_path / "fleet.toml").write_text(text, encoding="utf-8")
    return instances_from_document(read_document(tmp_path / "fleet.toml", "fleet.toml"))


def refusal(tmp_path, text):
    with pytest.raises(ConfigError) as error:
        fleet(tmp_path, text)
    return f"{error.value.message} | {error.value.hint}"


def test_urls_with_ranges_make_a_fleet_named_by_host_and_port():
    configs = instances_from_urls(["http://host:114{34..36}", "other"])

    assert [config.instance.name for config in configs] == ["host:11434", "host:11435", "host:11436", "other:11434"]


def test_one_server_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        instances_from_urls(["http://host:11434", "host"])


def test_a_range_makes_twelve_and_the_same_name_again_overrides_one(tmp_path):
    configs = fleet(
        tmp_path,
        '[[instance]]\nname = "gpu-{01..12}"\nurl = "http://10.0.0.{11..22}:11434"\nlimit = "2-8-64"\n'
        '[[instance]]\nname = "gpu-07"\nlimit = 4\nstream = false\n',
    )
    by_name = {config.instance.name: config.instance for config in configs}

    assert len(configs) == 12
    assert by_name["gpu-12"].url == "http://10.0.0.22:11434"
    assert by_name["gpu-12"].limit == InstanceLimit(2, 8, 64)
    assert by_name["gpu-07"].limit == InstanceLimit(4, 4, 4)
    assert by_name["gpu-07"].url == "http://10.0.0.17:11434"
    assert not by_name["gpu-07"].stream


def test_every_key_of_an_instance_arrives(tmp_path):
    (tmp_path / "ca.pem").write_text("x")
    (config,) = fleet(
        tmp_path,
        '[[instance]]\nname = "g"\nurl = "https://g:8000/api/generate"\nkind = "gateway"\napi_key_env = "KEY"\n'
        'headers_env = { "X-Team" = "TEAM" }\nca_file = "ca.pem"\ninsecure = true\n',
    )

    assert config.instance.endpoint == "/api/generate"
    assert (config.instance.backend, config.instance.kind) == ("ollama", "gateway")
    assert (config.api_key_env, config.headers_env) == ("KEY", {"X-Team": "TEAM"})
    assert config.ca_file == str(tmp_path / "ca.pem")
    assert config.insecure


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('url = "http://h"\nlimt = 4', r"fleet.toml:3: unknown key `limt` \| did you mean `limit`\?"),
        ('url = "http://h"\ngpu_metrics = "http://h:9400"', r"fleet.toml:3: gpu_metrics: not in this version"),
        ('url = "http://h"\napi_key = "sk-123"', r"fleet.toml:3: api_key: a secret .*api_key_env"),
        ('url = "http://h"\nlimit = 1.5', r"fleet.toml:3: limit: Expected"),
        ('url = "http://h"\nlimit = "many"', r"fleet.toml:3: instance `h:80`: limit: .*2-8-64"),
        ('url = "http://h"\nbackend = "vllm"', r"fleet.toml:3: backend: "),
        ('url = "http://h"\nkind = "cluster"', r"fleet.toml:3: kind: "),
        ('url = "http://h"\nendpoint = "/chat"', r"fleet.toml:3: instance `h:80`: endpoint: .*/api/generate"),
        ('url = "http://h"\nca_file = "no.pem"', r"fleet.toml:3: .*no.pem does not exist"),
        ('url = "http://u:p@h"\n', r"fleet.toml:2: credentials"),
        ('name = "a b"\nurl = "http://h"', r"fleet.toml:2: .*blanks"),
        ('name = "g{1..2}"\nurl = "http://h{1..3}"', r"fleet.toml:1: the name makes 2 and the url 3"),
        ('name = "g{1..2"\nurl = "http://h"', r"fleet.toml:2: .*braces"),
        ('name = "g"', r"fleet.toml:1: instance `g` has no url"),
        ("limit = 4", r"fleet.toml:1: an instance needs a url"),
        ('url = "http://h"\nheaders_env = { "bad name" = "X" }', r"fleet.toml:3: .*header"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_helps(tmp_path, body, expected):
    assert re.search(expected, refusal(tmp_path, "[[instance]]\n" + body + "\n"), re.DOTALL)


def test_a_key_pasted_where_a_variable_is_named_is_not_repeated(tmp_path):
    message = refusal(tmp_path, '[[instance]]\nurl = "http://h"\napi_key_env = "sk-live-123"\n')

    assert "sk-live" not in message
    assert "fleet.toml:3" in message


def test_an_override_of_an_unknown_name_suggests_the_known_one(tmp_path):
    text = '[[instance]]\nname = "gpu-{01..03}"\nurl = "http://h{1..3}"\n[[instance]]\nname = "gpu-1"\nlimit = 2\n'

    assert "did you mean `gpu-01`?" in refusal(tmp_path, text)


def test_one_server_under_two_names_is_refused(tmp_path):
    text = '[[instance]]\nname = "a"\nurl = "http://h:1"\n[[instance]]\nname = "b"\nurl = "http://h:1/"\n'

    assert "as `a` and `b`" in refusal(tmp_path, text)


def test_instance_in_one_bracket_is_refused(tmp_path):
    assert "[[instance]]" in refusal(tmp_path, '[instance]\nurl = "http://h"\n')
