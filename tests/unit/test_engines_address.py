"""Addresses keep secrets out of sight, and proxies out of the own network."""

from __future__ import annotations

import socket

import pytest
from yarl import URL

from arriero.engines.address import Address, is_private, proxy_for


def test_an_address_shows_neither_header_values_nor_the_password_in_its_url():
    address = Address("https://me:pa55@gpu.example/ollama", headers={"Authorization": "Bearer s3cret"})
    for shown in (repr(address), str(address), f"{address}"):
        assert "s3cret" not in shown
        assert "pa55" not in shown
        assert "Authorization" in shown
        assert "gpu.example" in shown


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.7", True),
        ("169.254.0.9", True),
        ("100.64.0.5", True),
        ("::1", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("gpu-01.lab", None),
    ],
)
def test_private_hosts_are_told_from_public_ones(host: str, private: bool | None):
    assert is_private(host) is private


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    return monkeypatch


def chosen(url: str) -> str | None:
    proxy = proxy_for(URL(url))
    return str(proxy) if proxy else None


def test_a_public_address_goes_through_the_proxy_of_its_scheme(proxied: pytest.MonkeyPatch):
    assert chosen("http://8.8.8.8:11434") == "http://proxy.example:3128"
    assert chosen("https://8.8.8.8") is None
    proxied.setenv("all_proxy", "http://other.example:1")
    assert chosen("https://8.8.8.8") == "http://other.example:1"


@pytest.mark.usefixtures("proxied")
def test_a_private_address_does_not():
    assert chosen("http://10.0.0.4:11434") is None
    assert chosen("http://localhost:11434") is None


def test_no_proxy_is_honoured(proxied: pytest.MonkeyPatch):
    proxied.setenv("no_proxy", "8.8.8.8,gpu.example")
    assert chosen("http://8.8.8.8") is None
    assert chosen("http://9.9.9.9") is not None


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("found", "direct"), [(("10.0.0.4",), True), (("10.0.0.4", "8.8.8.8"), False), (("8.8.8.8",), False), ((), False)]
)
def test_a_name_is_of_the_own_network_if_all_its_addresses_are(monkeypatch, found: tuple[str, ...], direct: bool):
    def lookup(*_args: object, **_named: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    assert (chosen("http://gpu-01.lab:11434") is None) is direct
