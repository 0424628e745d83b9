"""The user's own commands against a fake fleet: how instances and models are named, and what is said when they cannot serve."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fake_ollama import Fault, Speed
from running import Fleet, arriero, assert_answered, assert_verified, fake_fleet, prompts, read_results, write_prompts

pytestmark = pytest.mark.timeout(20)

ASKED = prompts(24)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path, ASKED)
    return tmp_path


def test_the_users_own_line_answers_every_prompt_in_input_order(folder: Path) -> None:
    with fake_fleet(4) as fleet:
        done = arriero(
            folder,
            *("run", "prompts.txt", "-o", "results.json", "-m", "mistral:7b", "-c", "30"),
            env={"OLLAMA_HOST": fleet.urls[0]},
        )

    assert done.code == 0, done.err
    assert done.out == ""
    records = read_results(folder)
    assert_answered(records, ASKED)
    expected = {"prompt", "response", "status", "id", "model", "instance", "attempts", "usage", "latency_s"}
    assert {*records[0]} == {*expected, "finish_reason"}
    assert [record["id"] for record in records] == [str(number) for number in range(1, len(ASKED) + 1)]
    assert "24 requests" in done.err
    assert "24 succeeded   0 failed" in done.err
    assert "output     results.json" in done.err
    assert (folder / "results.json").read_text().startswith("[\n  {")
    assert_verified(folder)


def test_concurrent_without_an_output_and_a_model_takes_the_only_one_and_writes_results_json(folder: Path) -> None:
    with fake_fleet(4, models=["llama3.2:3b"]) as fleet:
        host = fleet.urls[0].removeprefix("http://")
        done = arriero(folder, "run", "prompts.txt", "--concurrent", "30", env={"OLLAMA_HOST": host})

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert {record["model"] for record in read_results(folder)} == {"llama3.2:3b"}


def test_a_range_of_addresses_makes_a_fleet_and_every_instance_takes_part(folder: Path) -> None:
    first = free_ports(3)
    ports = [{"port": first + number} for number in range(3)]
    with fake_fleet(1, 2, 4, each=ports, speed=Speed(decode_tokens_per_s=300.0)) as fleet:
        url = f"http://127.0.0.1:{{{first}..{first + 2}}}"
        done = arriero(folder, "run", "prompts.txt", "-i", url)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert all(any(entry.purpose == "request" for entry in server.log.entries) for server in fleet.servers)
    assert {record["instance"] for record in read_results(folder)} == {
        server.url.removeprefix("http://") for server in fleet.servers
    }


def test_a_fleet_file_names_instances_their_limits_and_defaults(folder: Path) -> None:
    with fake_fleet(2, 4, models=["mistral:7b", "llama3.2:3b"]) as fleet:
        write_fleet(folder / "arriero.toml", fleet, 'model = "llama3.2:3b"')
        done = arriero(folder, "run", "prompts.txt", "--fleet", "arriero.toml")
        listed = arriero(folder, "fleet", "ps", "--fleet", "arriero.toml", "--json")

    assert done.code == 0, done.err
    assert {record["model"] for record in read_results(folder)} == {"llama3.2:3b"}
    assert {record["instance"] for record in read_results(folder)} == {"fake-0", "fake-1"}
    assert [one["models"] for one in listed.json["instances"]] == [["mistral:7b", "llama3.2:3b"]] * 2


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api"])
def test_an_api_path_behind_the_address_is_understood(folder: Path, path: str) -> None:
    with fake_fleet(2) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-i", fleet.urls[0] + path, "--first", "3")

    assert done.code == 0, done.err
    assert {entry.path for entry in fleet.requests()} == {"/api/generate" if "generate" in path else "/api/chat"}
    assert_answered(read_results(folder), ASKED[:3])


def test_several_installed_models_are_listed_and_nothing_is_sent(folder: Path) -> None:
    with fake_fleet(1, models=["mistral:7b", "codellama:34b"]) as fleet:
        refused = arriero(folder, "run", "prompts.txt", *fleet.flags)

    assert refused.code == 2
    assert "mistral:7b, codellama:34b" in refused.err
    assert "-m MODEL" in refused.err
    assert_untouched(folder, fleet)


def test_a_model_that_nobody_has_is_told_with_what_each_has_and_how_to_pull_it(folder: Path) -> None:
    with fake_fleet(1, 1, each=[{"models": ["mistral:7b"]}, {"models": ["phi4:14b", "gemma3:4b"]}]) as fleet:
        refused = arriero(folder, "run", "prompts.txt", "-m", "qwen3:8b", *fleet.flags)

    assert refused.code == 5
    assert f"{fleet.urls[0]}  has mistral:7b" in refused.err
    assert f"{fleet.urls[1]}  has phi4:14b, gemma3:4b" in refused.err
    assert f"OLLAMA_HOST={fleet.urls[0]} ollama pull qwen3:8b" in refused.err
    assert_untouched(folder, fleet)


def test_a_model_named_without_its_tag_is_told_as_it_is_installed(folder: Path) -> None:
    with fake_fleet(1, models=["codellama:34b", "mistral:7b"]) as fleet:
        refused = arriero(folder, "run", "prompts.txt", "-m", "mistral", *fleet.flags)

    assert refused.code == 5
    assert "did you mean mistral:7b?" in refused.err
    assert_untouched(folder, fleet)


def test_an_instance_without_the_model_gets_nothing_and_the_others_do_it_all(folder: Path) -> None:
    with fake_fleet(1, 2, each=[{"models": ["phi4:14b"]}, {}]) as fleet:
        done = arriero(folder, "run", "prompts.txt", "-m", "mistral:7b", *fleet.flags)

    assert done.code == 0, done.err
    assert_answered(read_results(folder), ASKED)
    assert {entry.server for entry in fleet.requests()} == {"fake-1"}


def test_no_usable_instance_names_each_address_its_reason_and_three_ways_out(folder: Path) -> None:
    closed = f"http://127.0.0.1:{free_ports(1)}"
    moved = {"faults": [Fault("redirect", path=path, location=closed) for path in ("/api/version", "/v1/models")]}
    with fake_fleet(1, 1, 1, each=[{"api_key": "secret"}, moved, {}]) as fleet:
        locked, moving, plain = fleet.urls[0], fleet.urls[1], fleet.urls[2].replace("http:", "https:")
        words = [word for url in (closed, locked, moving, plain) for word in ("-i", url)]
        refused = arriero(folder, "run", "prompts.txt", *words)
        listed = arriero(folder, "fleet", "ps", *words)
        looked = arriero(folder, "doctor", *words)

    assert refused.code == listed.code == looked.code == 5
    reasons = dict(line.split(maxsplit=1) for line in refused.err.splitlines() if line.startswith("  http"))
    assert reasons[closed] == "unreachable: connection refused"
    assert reasons[plain] == "unreachable: TLS: the server does not speak it; http:// perhaps"
    assert reasons[locked].startswith("unauthorized: answered 401; it refuses us: set api_key_env")
    assert reasons[moving].startswith("redirected: answered 307; it redirects, which is never followed")
    for url, reason in reasons.items():
        assert [line for line in listed.out.splitlines() if url in line and f"ejected: {reason}" in line]
        assert f"{url}  {reason}" in looked.out
    for way in ("ollama serve", "-i URL", "--fleet FILE", "--local"):
        assert way in refused.err
    assert_untouched(folder, fleet)


def test_an_address_that_lists_nothing_is_not_called_ok(folder: Path) -> None:
    with fake_fleet(1) as fleet:
        address = f"{fleet.urls[0]}/foo"
        listed = arriero(folder, "fleet", "ps", "-i", address)
        both = arriero(folder, "fleet", "ps", "--json", "-i", address, *fleet.flags)
        looked = arriero(folder, "doctor", "-i", address)

    words = "not proven: it lists nothing; a batch will try it"
    assert (listed.code, looked.code) == (0, 0), "it may be a gateway that serves nothing but generations"
    assert words in listed.out
    assert [line for line in looked.out.splitlines() if line.startswith("note") and f"{address}  {words}" in line]
    assert [one["state"] for one in both.json["instances"]] == ["not proven", "ok"]


def test_doctor_looks_at_the_folder_of_the_journal(folder: Path) -> None:
    with fake_fleet(1) as fleet:
        here = arriero(folder, "doctor", *fleet.flags)
        folder.chmod(0o500)
        locked = arriero(folder, "doctor", *fleet.flags, env={"HOME": "/nowhere"})
        folder.chmod(0o700)

    assert f"GB free in {folder.resolve()}" in here.out
    if os.geteuid():  # root may write everywhere
        assert locked.code == 5
        (said,) = (line for line in locked.out.splitlines() if line.startswith("BAD   disk "))
        assert f"{folder.resolve()} cannot be written" in said


def test_errors_are_json_on_standard_output_where_json_is_asked_for(folder: Path) -> None:
    refused = arriero(folder, "run", "prompts.txt", "--json", "-i", f"http://127.0.0.1:{free_ports(1)}")

    assert refused.code == 5
    assert refused.json["error"]["kind"] == "fleet"
    assert "no usable instance" in refused.json["error"]["message"]


def test_a_dry_run_counts_shows_three_requests_with_their_options_and_sends_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    with fake_fleet(1, 2) as fleet:
        words = ("run", "prompts.txt", "-m", "mistral:7b", "-O", "temperature=0.5", "-O", "num_ctx=2048", "--dry-run")
        told = arriero(folder, *words, *fleet.flags)
        as_json = arriero(folder, *words, *fleet.flags, "--json").json

    assert told.code == 0, told.err
    assert "24 rows" in told.out
    assert [line for line in told.out.splitlines() if "temperature=0.5" in line and "num_ctx=2048" in line][2:]
    assert all(prompt in told.out for prompt in ASKED[:3])
    assert ASKED[3] not in told.out
    assert all(url in told.out for url in fleet.urls)
    assert as_json["requests"][0]["options"] == {"num_ctx": 2048, "temperature": 0.5}
    assert as_json["models"] == {"mistral:7b": 24}
    assert {entry.path for entry in fleet.entries} <= {"/api/version", "/api/tags", "/v1/models"}
    assert sorted(folder.iterdir()) == before


def test_a_dry_run_shows_the_system_prompt_and_no_more_requests_than_would_be_sent(folder: Path) -> None:
    with fake_fleet(1) as fleet:
        told = arriero(folder, "run", "prompts.txt", *fleet.flags, "--first", "2", "-s", "Be brief.", "--dry-run")

    assert told.code == 0, told.err
    assert ASKED[1] in told.out
    assert ASKED[2] not in told.out
    assert [line for line in told.out.splitlines() if line == "system     Be brief."] == ["system     Be brief."] * 2


def test_a_dry_run_ends_with_what_the_run_would_end_with(folder: Path) -> None:
    (folder / "taken.json").write_text("[]")
    nowhere = ("-i", f"http://127.0.0.1:{free_ports(1)}")
    with fake_fleet(1, 1) as fleet:
        for words in (
            (*fleet.flags, "-m", "nowhere:7b"),
            (*nowhere, "-m", "mistral:7b"),
            (*fleet.flags, "-o", "taken.json"),
            (*fleet.flags, "-o", "no/such/results.json"),
        ):
            dry = arriero(folder, "run", "prompts.txt", *words, "--dry-run")
            real = arriero(folder, "run", "prompts.txt", *words)

            assert dry.code == real.code > 0
            error = real.err[real.err.index("error: ") :]
            assert dry.err == error
            assert "request 1" in dry.out, "what can be told is told"
        as_json = arriero(folder, "run", "prompts.txt", *words, "--dry-run", "--json")

    assert as_json.code == real.code
    assert as_json.json["error"]["message"] in error


@pytest.mark.parametrize(("words", "code"), [((), 2), (("--on-bad-line", "fail"), 0)], ids=["stop", "fail"])
def test_a_dry_run_finds_bad_lines_and_counts_those_that_may_fail(
    folder: Path, words: tuple[str, ...], code: int
) -> None:
    (folder / "bad.txt").write_bytes(b"one\n\xff\nthree\n")
    with fake_fleet(1) as fleet:
        told = arriero(folder, "run", "bad.txt", *fleet.flags, *words, "--dry-run", "--json")

    assert told.code == code, told.err
    if code:
        assert "bad.txt:2:1:" in told.json["error"]["message"]
    else:
        assert (told.json["rows"], told.json["bad_rows"]) == (3, 1)


def test_a_system_prompt_a_template_and_options_reach_the_server_as_given(folder: Path) -> None:
    with fake_fleet(2) as fleet:
        done = arriero(
            folder,
            *("run", "prompts.txt", *fleet.flags, "--first", "2", "-s", "Be brief.", "--prompt", "Say {{x}}: {prompt}"),
            *("-O", "temperature=0", "-O", 'stop=["END"]', "-O", "num_predict=50", "-O", "num_ctx=1000"),
        )

    assert done.code == 0, done.err
    bodies = [body for body in fleet.bodies if body["messages"]]
    asked = {f"Say {{x}}: {prompt}" for prompt in ASKED[:2]}
    assert {body["messages"][1]["content"] for body in bodies} == asked
    assert all(body["messages"][0] == {"role": "system", "content": "Be brief."} for body in bodies)
    options = {"num_ctx": 1024, "num_predict": 50, "temperature": 0, "stop": ["END"]}
    assert all(body["options"] == options for body in bodies)
    assert "num_ctx 1000 is rounded up to 1024" in done.err
    assert {record["prompt"] for record in read_results(folder)} == asked


def write_fleet(path: Path, fleet: Fleet, *defaults: str, instance: str = "") -> None:
    """A fleet file for the fake servers."""
    tables = [f'[[instance]]\nname = "{one.name}"\nurl = "{one.url}"\n{instance}' for one in fleet.servers]
    path.write_text("\n".join(["[defaults]", *defaults, *tables]))


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody listens on."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if first + count < 65536 and all(is_free(first + number) for number in range(count)):
            return first
    raise AssertionError("no free ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def assert_untouched(folder: Path, fleet: Fleet) -> None:
    """No generation was asked for, and no result is claimed."""
    assert not [entry for entry in fleet.entries if entry.purpose not in ("discover", "")]
    assert not (folder / "results.json").exists()
