"""OLLAMA_HOST beside a second reading of Ollama's rules, written from what they say and not from our code."""

from __future__ import annotations

import ipaddress
import re

from fuzzing import fuzzed, told
from hypothesis import strategies as st

from arriero.config.address import address
from arriero.config.ollama_host import ollama_host, port_ignored
from arriero.errors import ConfigError

GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
API = re.compile(
    r"(/api(/(chat|generate|embed|tags|ps|version))?|/v1(/(chat/completions|completions|embeddings|models))?)$"
)


def split(text):
    """Host and port of Go's ``net.SplitHostPort``, or None for its error."""
    last = text.rfind(":")
    if last < 0:
        return None
    if text.startswith("["):
        close = text.find("]")
        if close < 0 or close + 1 != last:
            return None
        host, rest = text[1:close], text[close + 1 :]
    else:
        host, rest = text[:last], text[last:]
        if ":" in host:
            return None
    return None if any(mark in host + rest for mark in "[]") else (host, text[last + 1 :])


def by_the_rules(value):
    """Scheme, host, port and path that Ollama's client would use; None for a blank value."""
    word = value.strip(GO_SPACE).strip("\"'").strip(GO_SPACE)
    if not word:
        return None
    scheme, mark, rest = word.partition("://")
    if not mark:
        scheme, rest = ("https", "ollama.com:443") if word == "ollama.com" else ("http", word)
    default = {"http": 80, "https": 443}.get(scheme, 11434) if mark else 11434
    place, slash, path = rest.partition("/")
    host, port = split(place) or (place.strip("[]") if is_ip(place.strip("[]")) else place, "")
    number = int(port) if re.fullmatch(r"[+-]?[0-9]+", port) and len(port) < 30 else -1
    return scheme, host, number if 0 <= number <= 65535 else default, slash + path


def is_ip(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def reached(host):
    """The host a client connects to: an unspecified address means this machine, letters have no case."""
    host = host or "127.0.0.1"
    if not is_ip(host):
        return host.lower()
    number = ipaddress.ip_address(host)
    number = getattr(number, "ipv4_mapped", None) or number
    if number.is_unspecified:
        return "127.0.0.1" if number.version == 4 else "[::1]"
    return str(number) if number.version == 4 else f"[{number}]"


hosts = st.one_of(
    st.sampled_from(("", "localhost", "Example.COM", "0.0.0.0", "[::]", "::1", "[::1]", "[fe80::1]", "::ffff:1.2.3.4")),  # noqa: S104
    st.sampled_from(
        ("ollama.com", "1.2.3.4", "1.2.3.04", "a_b", "a..b", "[", "]", "[1.2.3.4]", "169.254.169.254", "ü.de")
    ),
    st.from_regex(r"[a-z0-9.\-]{1,12}", fullmatch=True),
)
ports = st.one_of(
    st.just(""),
    st.integers(-2, 70000).map(lambda port: f":{port}"),
    st.sampled_from(
        (":", ":abc", ":+80", ":-0", ":0", ":00080", ":0000000000080", ":1e3", ":٣", ":80:90", ":" + "9" * 40)
    ),
)
paths = st.sampled_from(("", "/", "/a", "/a/b/", "/api", "/v1/", "/x/api/chat", "/a?b", "/a b", "/%20", "/a/../b"))
schemes = st.sampled_from(("", "http://", "https://", "HTTP://", "ftp://", "://", "http:", "http:/"))
around = st.text(" \t\"'\n", max_size=3)
built = st.builds(lambda *parts: "".join(parts), around, schemes, hosts, ports, paths, around)


@fuzzed(350, value=st.one_of(built, built, st.text(max_size=20), st.text("[]:/.0123a@%'\" ", max_size=14)))
def test_an_ollama_host_is_refused_or_means_what_ollama_makes_of_it(value):
    expected = by_the_rules(value)
    try:
        place = ollama_host(value)
    except ConfigError as error:
        told(error.message)
        return
    if re.search(r"[\x1c-\x1f]", value):
        return  # white space to Python and not to Go, whose client can use none of them in an address
    if place is None or expected is None:
        assert (place is None) == (expected is None)
        return
    scheme, host, port, path = expected
    if host.startswith("[") or "%" in host:
        return  # no client could use it; whatever we make of it harms nobody
    assert place.url == f"{scheme.lower()}://{reached(host)}:{port}{API.sub('', path.rstrip('/'))}"


@fuzzed(60, host=st.sampled_from(("localhost", "1.2.3.4", "[::1]", "")), port=ports)
def test_a_port_counts_as_ignored_exactly_where_the_default_stands_in_for_it(host, port):
    found = split(host + port)
    ignored = bool(found and found[1]) and by_the_rules(f"{host}:1")[2] == 1 and not given(found[1])

    assert (port_ignored(host + port) != "") == ignored


def given(port):
    return re.fullmatch(r"[+-]?[0-9]+", port) is not None and len(port) < 30 and 0 <= int(port) <= 65535


@fuzzed(60, user=st.text(min_size=1, max_size=8), host=hosts, scheme=schemes)
def test_a_password_in_an_address_is_never_repeated(user, host, scheme):
    for read in (ollama_host, address):
        try:
            read(f"{scheme}{user}:s3cretword@{host}")
        except ConfigError as error:
            told(str(error), never="" if "/" in user else "s3cretword")
