from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.config.ollama_host import ollama_host, port_ignored
from arriero.errors import ConfigError

HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True).filter(lambda host: host != "ollama.com")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("ollama.com", "https://ollama.com:443"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]", "http://[::1]:11434"),
        ("[::]:8080", "http://[::1]:8080"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com:4321/a/b/", "https://example.com:4321/a/b"),
        ("1.2.3.4:66000", "http://1.2.3.4:11434"),
        ("1.2.3.4:-1", "http://1.2.3.4:11434"),
        ("1.2.3.4:garbage", "http://1.2.3.4:11434"),
        ("http://1.2.3.4:garbage", "http://1.2.3.4:80"),
        ("1.2.3.4:", "http://1.2.3.4:11434"),
        ("1.2.3.4:0000000000080", "http://1.2.3.4:80"),
    ],
)
def test_ollama_host_means_what_it_means_to_ollama(value, url):
    place = ollama_host(value)

    assert place is not None
    assert place.url == url


@pytest.mark.parametrize("value", ["", " ", '""', "' '"])
def test_a_blank_ollama_host_says_nothing(value):
    assert ollama_host(value) is None


@pytest.mark.parametrize(
    "value", ["ftp://host", "http://user:pw@host", "169.254.169.254", "a:b:c", "host:0", "two words"]
)
def test_an_ollama_host_that_no_client_could_use_is_refused(value):
    with pytest.raises(ConfigError):
        ollama_host(value)


@given(HOSTS, st.integers(1, 65535), st.sampled_from(["", "http://", "https://"]))
def test_a_given_port_is_kept_with_any_scheme(host, port, scheme):
    assert ollama_host(f"{scheme}{host}:{port}").url == f"{scheme or 'http://'}{host}:{port}"


@given(HOSTS, st.sampled_from([("", "http", 11434), ("http://", "http", 80), ("https://", "https", 443)]))
def test_an_absent_port_follows_from_the_scheme_as_written(host, case):
    written, scheme, port = case

    assert ollama_host(written + host).url == f"{scheme}://{host}:{port}"


@given(HOSTS, st.sampled_from(['"', "'", " ", "\t"]), st.integers(0, 3))
def test_quotes_and_blanks_around_the_value_do_not_matter(host, around, times):
    assert ollama_host(around * times + host + around * times) == ollama_host(host)


@given(
    HOSTS,
    st.text("abcxyz!", min_size=1, max_size=5),
    st.sampled_from([("", 11434), ("http://", 80), ("https://", 443)]),
)
def test_a_port_that_is_none_counts_as_absent(host, garbage, case):
    scheme, port = case

    assert ollama_host(f"{scheme}{host}:{garbage}").url == f"{scheme or 'http://'}{host}:{port}"


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("http://127.0.0.1:99999", "99999"),
        ("127.0.0.1:garbage/path", "garbage"),
        (" '1.2.3.4:66000' ", "66000"),
        ("1.2.3.4:11434", ""),
        ("1.2.3.4:", ""),
        ("1.2.3.4", ""),
        ("[::1]", ""),
        ("", ""),
    ],
)
def test_a_port_that_ollama_counts_as_absent_is_found(value, port):
    assert port_ignored(value) == port
