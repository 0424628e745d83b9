from __future__ import annotations

import re
from pathlib import Path

import pytest

from arriero.config.load import load, override
from arriero.config.settings import ErrorBudget, Settings, TimeoutRule
from arriero.core.instance import Concurrency
from arriero.errors import ConfigError


def names(settings: Settings) -> list[str]:
    return [config.instance.name for config in settings.instances]


def refusal(flags, env, cwd) -> str:
    with pytest.raises(ConfigError) as error:
        load(flags, env, cwd)
    return f"{error.value.message} | {error.value.hint}"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home" / ".config" / "arriero").mkdir(parents=True)
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def cwd(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def user_file(home: dict[str, str], text: str) -> None:
    (Path(home["HOME"]) / ".config" / "arriero" / "config.toml").write_text(text, encoding="utf-8")


def test_nothing_said_means_the_documented_defaults(cwd):
    settings = load({"input": "prompts.txt"}, {}, cwd)

    assert (settings.input, settings.input_format) == ("prompts.txt", "txt")
    assert (settings.output, settings.output_format) == ("results.json", "json")
    assert settings.journal == "results.json.journal"
    assert settings.concurrency == Concurrency()
    assert [config.instance.url for config in settings.instances] == ["http://127.0.0.1:11434"]
    assert settings.origins == {"instances": "default"}
    assert settings.warnings == ()


def test_every_flag_arrives_as_its_own_value(cwd):
    settings = load(
        {
            "input": "rows.jsonl", "output": "out.jsonl", "model": ("mistral:7b",), "concurrency": "3x",
            "instance": ("http://h:114{34..35}",), "system": "Be brief.", "prompt": "{text}?",
            "options": ("temperature=0", 'stop=["END"]'), "endpoint": "/api/generate", "think": "low",
            "retries": "0", "timeout": "30+1/100c", "max_errors": "5%", "max_wait": "2h", "first": "10",
            "display": "log", "unordered": True, "on_bad_line": "fail", "journal": "j.db", "force": True,
            "engine": "asyncio",
        },
        {}, cwd,
    )  # fmt: skip

    assert settings.models == ("mistral:7b",)
    assert settings.concurrency == Concurrency(per_instance=3, learned=False)
    assert names(settings) == ["h:11434", "h:11435"]
    assert (settings.system, settings.prompt) == ("Be brief.", "{text}?")
    assert settings.options == {"temperature": 0, "stop": ["END"]}
    assert (settings.endpoint, settings.think, settings.retries) == ("/api/generate", "low", 0)
    assert settings.timeout == TimeoutRule("length", 30.0, 0.01)
    assert settings.max_errors == ErrorBudget(fraction=0.05)
    assert (settings.max_wait_s, settings.first, settings.display) == (7200.0, 10, "log")
    assert (settings.output_format, settings.unordered, settings.on_bad_line) == ("jsonl", True, "fail")
    assert (settings.journal, settings.force) == ("j.db", True)


def test_a_flag_beats_the_environment_beats_the_project_beats_the_user(cwd, home):
    user_file(home, '[defaults]\nmodel = "user"\nretries = 1\ntimeout = "1m"\nconcurrency = 1\n')
    (cwd / "arriero.toml").write_text('[defaults]\nmodel = "project"\nretries = 2\ntimeout = "2m"\n')
    env = {**home, "ARRIERO_MODEL": "environment", "ARRIERO_RETRIES": "3"}

    settings = load({"model": ("flag",)}, env, cwd)

    assert settings.models == ("flag",)
    assert settings.retries == 3
    assert settings.timeout.base_s == 120
    assert settings.concurrency.total == 1
    assert settings.origins["model"] == "-m"
    assert settings.origins["retries"] == "ARRIERO_RETRIES"
    assert settings.origins["timeout"] == "arriero.toml:4"
    assert settings.origins["concurrency"] == "~/.config/arriero/config.toml:5"


def test_options_are_merged_one_by_one(cwd):
    (cwd / "arriero.toml").write_text("[defaults.options]\ntemperature = 0\nnum_ctx = 8192\n")

    settings = load({"options": ("num_ctx=4096",)}, {"ARRIERO_OPTIONS": '{"seed": 1}'}, cwd)

    assert settings.options == {"temperature": 0, "num_ctx": 4096, "seed": 1}
    assert settings.origins["options.num_ctx"] == "-O"
    assert settings.origins["options.temperature"] == "arriero.toml:2"


def test_think_among_the_options_is_not_an_option(cwd):
    settings = load({"options": ("think=true", "seed=1")}, {}, cwd)

    assert settings.think is True
    assert settings.options == {"seed": 1}


def test_a_pyproject_counts_where_there_is_no_arriero_toml(cwd):
    (cwd / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.arriero.defaults]\nretries = 7\n')
    assert load({}, {}, cwd).origins["retries"] == "pyproject.toml:4"

    (cwd / "arriero.toml").write_text("[defaults]\nretries = 8\n")
    assert load({}, {}, cwd).retries == 8


def test_the_servers_are_said_by_the_strongest_layer_that_names_any(cwd, home):
    user_file(home, '[[instance]]\nurl = "http://user:1"\n')
    assert names(load({}, {**home, "OLLAMA_HOST": "env:2"}, cwd)) == ["user:1"]

    (cwd / "arriero.toml").write_text('[[instance]]\nname = "p"\nurl = "http://project:1"\n')
    settings = load({}, home, cwd)
    assert names(settings) == ["p"]
    assert settings.origins["instances"] == "arriero.toml"

    assert names(load({}, {**home, "ARRIERO_INSTANCE": "http://a http://b"}, cwd)) == ["a:80", "b:80"]
    assert names(load({"instance": ("c",)}, home, cwd)) == ["c:11434"]
    assert load({"local": True}, home, cwd).instances == ()


def test_ollama_host_counts_where_no_fleet_is_named(cwd):
    settings = load({}, {"OLLAMA_HOST": "0.0.0.0:9000"}, cwd)

    assert names(settings) == ["127.0.0.1:9000"]
    assert settings.origins["instances"] == "OLLAMA_HOST"
    assert settings.warnings == ()
    elsewhere = load({}, {"OLLAMA_HOST": "http://127.0.0.1:99999"}, cwd)
    assert elsewhere.warnings == (
        "OLLAMA_HOST: 99999 is no port, so that http://127.0.0.1:80 is meant, as for Ollama itself",
    )
    assert "OLLAMA_HOST: " in refusal({}, {"OLLAMA_HOST": "ftp://x"}, cwd)


def test_a_fleet_file_brings_its_instances_and_its_defaults(cwd):
    (cwd / "arriero.toml").write_text('[defaults]\nretries = 1\nmodel = "project"\n[[instance]]\nurl = "http://p"\n')
    (cwd / "big.toml").write_text('[defaults]\nmodel = "big"\n[[instance]]\nname = "g{1..3}"\nurl = "http://g{1..3}"\n')

    settings = load({"fleet": "big.toml"}, {}, cwd)

    assert names(settings) == ["g1", "g2", "g3"]
    assert settings.models == ("big",)
    assert settings.retries == 1


def test_local_can_be_denied_by_a_stronger_layer(cwd):
    (cwd / "arriero.toml").write_text("[defaults]\nlocal = true\n")
    assert load({}, {}, cwd).local
    assert not load({}, {"ARRIERO_LOCAL": "no"}, cwd).local
    assert not load({"instance": ("h",)}, {}, cwd).local


def test_the_demonstration_model_writes_64_tokens_unless_told(cwd):
    assert load({"local": True}, {}, cwd).options == {"num_predict": 64}
    assert load({"local": True, "options": ("num_predict=9",)}, {}, cwd).options == {"num_predict": 9}
    assert load({}, {}, cwd).options == {}


def test_at_reads_a_text_from_a_file_beside_the_one_that_names_it(cwd):
    (cwd / "system.txt").write_text("Be brief.\n")
    (cwd / "arriero.toml").write_text('[defaults]\nsystem = "@system.txt"\nprompt = "@@home"\n')

    settings = load({}, {}, cwd)

    assert settings.system == "Be brief."
    assert settings.prompt == "@home"
    assert re.match("--prompt: .*missing.txt: No such file", refusal({"prompt": "@missing.txt"}, {}, cwd))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"concurrency": "many"}, r"-c: `many` is no concurrency \| .*auto:30"),
        ({"timeout": "soon"}, r"--timeout: `soon`"),
        ({"max_errors": "x"}, r"--max-errors: "),
        ({"retries": "-1"}, r"--retries: `-1` is no count"),
        ({"options": ("temperature=hot",)}, r"-O: option temperature must be a number"),
        ({"instance": ("http://169.254.169.254",)}, r"-i: .*link-local"),
        ({"instance": ("a",), "local": True}, r"-i and --local: only one"),
        ({"fleet": "none.toml"}, r"none.toml: cannot be read"),
        ({"model": ("a", "b")}, r"-m: more than one model: not in this version"),
        ({"engine": "simulated"}, r"--engine: simulated: not in this version"),
        ({"engine": "asynco"}, r"--engine: `asynco` is none of asyncio"),
        ({"display": "full"}, r"--display: full: not in this version"),
        ({"format": "csv"}, r"--format: csv: not in this version"),
        ({"format": "xml"}, r"--format: `xml` is none of json, jsonl, openai"),
        ({"endpoint": "/chat"}, r"--endpoint: .*/api/generate"),
        ({"think": "hard"}, r"--think: .*low, medium"),
        ({"input": "a.csv"}, r"a.csv: .csv input: not in this version"),
        ({"input": "a.dat"}, r"a.dat: .*--input-format"),
        ({"output": "a.dat"}, r"a.dat: .*--format"),
        ({"output": "a.parquet"}, r"a.parquet: .*not in this version"),
        ({"unordered": True}, r"--unordered needs lines"),
        (
            {"input": "a.jsonl", "output": "./a.jsonl"},
            r"input, output and journal, and the files beside them, must be different files",
        ),
    ],
)
def test_a_wrong_flag_is_named_with_what_helps(cwd, flags, expected):
    assert re.match(expected, refusal(flags, {}, cwd), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[defaults]\nretires = 1\n", r"arriero.toml:2: unknown key `retires` \| did you mean `retries`\?"),
        ("[defaults]\nforce = true\n", r"arriero.toml:2: unknown key `force`"),
        ("[defaults]\nretries = true\n", r"arriero.toml:2: retries: a text is wanted"),
        ("[defaults]\nmax-errors = 'x'\n", r"arriero.toml:2: max-errors: "),
        ("[defaults]\napi_key = 'sk-1'\n", r"arriero.toml:2: api_key: a secret"),
        ("[default]\n", r"arriero.toml:1: unknown key `default` \| did you mean `defaults`\?"),
        ("[[route]]\ncontains = 'code'\n", r"arriero.toml:1: route: not in this version"),
        ("defaults = 1\n", r"arriero.toml:1: defaults: "),
        ("[defaults\n", r"arriero.toml:1:10: no valid TOML"),
        (
            "[defaults]\nlocal = true\n[[instance]]\nurl = 'http://h'\n",
            r"arriero.toml:2: local and \[\[instance\]\]: only one",
        ),
    ],
)
def test_a_wrong_project_file_is_told_with_its_line(cwd, text, expected):
    (cwd / "arriero.toml").write_text(text)

    assert re.match(expected, refusal({}, {}, cwd), re.DOTALL)


def test_a_file_may_spell_settings_as_their_flags(cwd):
    (cwd / "arriero.toml").write_text('[defaults]\nmax-errors = "5%"\nc = 30\nmax_wait = "1h"\n')

    settings = load({}, {}, cwd)

    assert settings.max_errors == ErrorBudget(fraction=0.05)
    assert settings.concurrency.total == 30


def test_a_format_decides_the_name_of_the_output_that_is_left_out(cwd):
    assert load({"format": "openai"}, {}, cwd).output == "results.jsonl"
    assert load({"output": "-"}, {}, cwd).output_format == "jsonl"
    assert load({"output": "-"}, {}, cwd).journal == "stdout.journal"


def test_what_is_probably_not_meant_is_warned_of(cwd):
    (cwd / "arriero.toml").write_text(
        '[[instance]]\nname = "a"\nurl = "https://a"\ninsecure = true\napi_key_env = "NO_SUCH"\n'
    )

    warnings = " ".join(load({"options": ("temprature=1",)}, {}, cwd).warnings)

    assert "did you mean `temperature`?" in warnings
    assert "TLS is not verified" in warnings
    assert "NO_SUCH is not set" in warnings


def test_no_key_is_kept_in_the_settings(cwd):
    (cwd / "arriero.toml").write_text('[[instance]]\nname = "a"\nurl = "https://a"\napi_key_env = "MY_KEY"\n')

    assert "canary-secret" not in repr(load({}, {"MY_KEY": "canary-secret"}, cwd))


def test_a_resume_takes_flags_only_and_never_forces(cwd):
    stored = load({"input": "a.txt", "force": True, "options": ("seed=1",), "model": ("m",)}, {}, cwd)
    (cwd / "arriero.toml").write_text('[defaults]\nretries = 9\nmodel = "other"\n[[instance]]\nurl = "http://p"\n')

    same = override(stored, {"concurrency": None}, {"ARRIERO_RETRIES": "8"}, cwd)
    moved = override(stored, {"concurrency": "7", "instance": ("new:1",)}, {}, cwd)

    assert same.instances == stored.instances
    assert (same.retries, same.models, same.options, same.force) == (4, ("m",), {"seed": 1}, False)
    assert (names(moved), moved.concurrency.total) == (["new:1"], 7)
