"""TLS: verified always, by the system's authorities or an own one, unless the instance is marked insecure."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from fake_ollama import INSTANT, FakeOllama, answer
from flying import SESSION, attempt, failure, looped, outcome, text
from socket_world import HttpEngine

from arriero.backends.wire import Backend
from arriero.core.outcome import FailureKind
from arriero.engines.address import Address

pytestmark = [
    pytest.mark.timeout(20),
    pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command to make a certificate"),
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


CA = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that was good for one day of 2020, and its key; no flag but those of ``ca`` dates back."""
    folder = tmp_path_factory.mktemp("expired")
    cert, key, wish, config = (folder / name for name in ("cert.pem", "key.pem", "wish.pem", "ca.cnf"))
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01")
    config.write_text(CA.format(folder=folder))
    ask = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*ask, *names, "-keyout", key, "-out", wish], check=True, capture_output=True)
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
    sign = ["openssl", "ca", "-batch", "-selfsign", "-notext", "-config", config, "-keyfile", key]
    subprocess.run([*sign, *dates, "-in", wish, "-out", cert], check=True, capture_output=True)
    return cert, key


def secure(certificate: tuple[Path, Path]) -> FakeOllama:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return FakeOllama(speed=INSTANT, tls=context)


@looped
async def test_an_unknown_certificate_is_refused_with_a_reason(
    certificate: tuple[Path, Path], dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with secure(certificate) as fake, engine_class({"fake": Address(fake.url)}, dialects, SESSION) as engine:
        end = failure(await outcome(engine, attempt(1)))
        assert end.kind is FailureKind.UNREACHABLE
        assert end.detail.startswith("TLS: certificate not trusted: self")
        assert fake.log.entries == []


@looped
async def test_an_own_authority_is_trusted_when_it_is_named(
    certificate: tuple[Path, Path], dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with secure(certificate) as fake:
        book = {"fake": Address(fake.url, ca_file=str(certificate[0]))}
        async with engine_class(book, dialects, SESSION) as engine:
            assert text(await outcome(engine, attempt(1))) == answer("prompt 1")


@looped
async def test_a_certificate_for_another_name_is_refused(
    certificate: tuple[Path, Path], dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with secure(certificate) as fake:
        url = fake.url.replace("127.0.0.1", "localhost")
        book = {"fake": Address(url, ca_file=str(certificate[0]))}
        async with engine_class(book, dialects, SESSION) as engine:
            end = failure(await outcome(engine, attempt(1)))
            assert "TLS: certificate not trusted" in end.detail


@looped
async def test_insecure_takes_any_certificate(
    certificate: tuple[Path, Path], dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with secure(certificate) as fake:
        book = {"fake": Address(fake.url, insecure=True)}
        async with engine_class(book, dialects, SESSION) as engine:
            assert text(await outcome(engine, attempt(1))) == answer("prompt 1")


@looped
async def test_tls_to_a_plain_server_and_plain_to_a_tls_server_are_failures(
    certificate: tuple[Path, Path], dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    async with secure(certificate) as tls, FakeOllama(speed=INSTANT) as plain:
        book = {"a": Address(plain.url.replace("http:", "https:")), "b": Address(tls.url.replace("https:", "http:"))}
        async with engine_class(book, dialects, SESSION) as engine:
            first = failure(await outcome(engine, attempt(1, instance="a")))
            assert (first.kind, first.detail[:4]) == (FailureKind.UNREACHABLE, "TLS:")
            second = failure(await outcome(engine, attempt(2, instance="b")))
            assert second.kind is FailureKind.UNREACHABLE


@looped
async def test_a_ca_file_that_cannot_be_read_fails_the_attempt_not_the_engine(
    dialects: dict[str, Backend], engine_class: type[HttpEngine]
):
    book = {"fake": Address("https://127.0.0.1:1", ca_file="/nowhere/ca.pem")}
    async with engine_class(book, dialects, SESSION) as engine:
        end = failure(await outcome(engine, attempt(1)))
        assert (end.kind, end.detail) == (FailureKind.UNREACHABLE, "no such file or directory")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("server", "scheme", "words"),
    [
        ("expired", "https:", "TLS: certificate not trusted: certificate has expired"),
        ("trusted", "http:", ""),
        ("plain", "https:", "TLS:"),
    ],
    ids=["expired", "plain-on-tls", "tls-on-plain"],
)
@looped
async def test_what_does_not_agree_on_tls_is_unreachable_and_tried_once(
    server: str,
    scheme: str,
    words: str,
    dialect: str,
    stream: bool,
    certificate: tuple[Path, Path],
    expired: tuple[Path, Path],
    dialects: dict[str, Backend],
    engine_class: type[HttpEngine],
):
    fakes = {"expired": secure(expired), "trusted": secure(certificate), "plain": FakeOllama(speed=INSTANT)}
    async with fakes[server] as fake:
        url = scheme + fake.url.partition(":")[2]
        book = {"fake": Address(url, ca_file=str(expired[0] if server == "expired" else certificate[0]))}
        async with engine_class(book, dialects, SESSION) as engine:
            end = failure(await outcome(engine, attempt(1, backend=dialect, stream=stream)))
        assert end.kind is FailureKind.UNREACHABLE
        assert end.detail.startswith(words)
        assert fake.log.entries == []
        assert fake.accepted <= 1, "it is not tried again there"
