from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.config.address import Address, address
from arriero.config.ollama_host import ollama_host
from arriero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gpu-01", "http://gpu-01:11434"),
        ("gpu-01:9000", "http://gpu-01:9000"),
        ("http://gpu-01", "http://gpu-01:80"),
        ("https://gpu-01/", "https://gpu-01:443"),
        ("HTTP://GPU-01:11434", "http://gpu-01:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104
        ("http://[::]:11434", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("http://proxy.lan/team/ollama/", "http://proxy.lan:80/team/ollama"),
    ],
)
def test_an_address_is_completed_as_ollama_completes_it(text, url):
    assert address(text) == Address(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://localhost:8000/api/generate", Address("http://localhost:8000", "/api/generate", "ollama")),
        ("http://localhost:8000/olol/api/chat/", Address("http://localhost:8000/olol", "/api/chat", "ollama")),
        ("localhost:8000/api", Address("http://localhost:8000", "", "ollama")),
        ("localhost:8000/api/tags", Address("http://localhost:8000", "", "ollama")),
        ("https://api.example.com/v1", Address("https://api.example.com:443", "", "openai")),
        ("http://vllm:8000/v1/chat/completions", Address("http://vllm:8000", "", "openai")),
        ("http://vllm:8000/v1x", Address("http://vllm:8000/v1x")),
    ],
)
def test_the_path_of_an_api_is_taken_off_and_remembered(text, expected):
    assert address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://169.254.169.254",
        "169.254.1.1:80",
        "http://[::ffff:169.254.169.254]/latest",
        "http://[fd00:ec2::254]",
        "http://[fe80::1]:11434",
        "http://2852039166",
        "http://0xA9FEA9FE:80",
        "http://169.254.43518",
    ],
)
def test_metadata_and_link_local_addresses_are_refused_however_they_are_spelled(text):
    with pytest.raises(ConfigError, match="link-local"):
        address(text)


def test_credentials_in_a_url_are_refused_and_not_repeated():
    with pytest.raises(ConfigError) as error:
        address("http://user:s3cret@host:11434")

    assert "s3cret" not in str(error.value) + error.value.hint
    assert "api_key_env" in error.value.hint


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://host", "http://host:0", "http://host:70000", "http://host:x", "http://a b", "http://h/?a=1",
     "http://h/#x", "http://h\x1b[2J", "http://a:b:c", "http:// host"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError):
        address(text)


@given(
    st.sampled_from(["", "http://", "https://"]),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True),
    st.one_of(st.none(), st.integers(1, 65535)),
    st.sampled_from(["", "/", "/api/generate", "/v1", "/base"]),
)
def test_a_normalised_url_is_its_own_normal_form(scheme, host, port, path):
    first = address(f"{scheme}{host}{'' if port is None else f':{port}'}{path}")

    assert address(first.url).url == first.url
    assert first.name == first.url.split("://")[1]


@pytest.mark.parametrize("text", ["http:/user:s3cret@host", "user:s3cret/@host", "ftp://user:s3cret@host"])
def test_a_password_is_not_repeated_where_the_address_is_wrong_too(text):
    for read in (address, ollama_host):
        with pytest.raises(ConfigError) as error:
            read(text)
        assert "s3cret" not in str(error.value)
