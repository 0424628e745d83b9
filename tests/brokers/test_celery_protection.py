"""What the guide says about protecting a broker works: TLS that is verified, and a user with the least rights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from broker import Broker
from crew import PACE, SLOTS, Carried, crew_of
from cuttable_proxy import network_before
from running import Running, arriero, fake_fleet

pytestmark = pytest.mark.timeout(90)

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "celery.md"
USER, PASSWORD = "arriero-least", "of-a-test"


def rights(kind: str) -> list[str]:
    """What the guide gives the user, word by word."""
    if kind == "redis":
        (line,) = re.findall(r"^ +user arriero on >\S+ (.+)$", GUIDE.read_text(), re.MULTILINE)
        return line.split()
    (line,) = re.findall(r"^ +rabbitmqctl set_permissions arriero (.+)$", GUIDE.read_text(), re.MULTILINE)
    return shlex.split(line)


@pytest.mark.slow
def test_a_batch_goes_over_tls_and_through_a_user_with_the_least_rights(tmp_path: Path, own_broker: Broker) -> None:
    own_broker.admit(USER, PASSWORD, rights(own_broker.kind))
    scheme = own_broker.tls_url.partition("://")[0]
    host = own_broker.tls_url.partition("@")[2]
    url = f"{scheme}://{USER}:{PASSWORD}@{host}?ssl_ca_certs={own_broker.certificate}"
    with fake_fleet(*SLOTS, speed=PACE) as fleet, crew_of(tmp_path, url, fleet) as crew:
        (tmp_path / "run").mkdir()
        batch = Carried(tmp_path / "run", crew, 60)
        with batch.begun() as running:
            seen = arriero(tmp_path, "fleet", "ps", "--broker", url)
            batch.end(running)
        batch.check()

    assert seen.code == 0, seen.err
    assert "left" in seen.out
    assert "right" in seen.out
    assert own_broker.refusals() == []


def test_a_broker_whose_certificate_nobody_vouches_for_or_is_for_another_name_gets_no_password(
    tmp_path: Path, own_broker: Broker
) -> None:
    (tmp_path / "prompts.txt").write_text("Name a river.\n")
    named = f"?ssl_ca_certs={own_broker.certificate}"
    with network_before(own_broker.tls_port, "127.0.0.2") as other:
        elsewhere = own_broker.tls_url.replace(f"127.0.0.1:{own_broker.tls_port}", f"127.0.0.2:{other.port}")
        refused = [
            Running(tmp_path, "run", "prompts.txt", "--engine", "celery", "--broker", url, "--max-wait", "3").end()
            for url in (own_broker.tls_url, elsewhere + named)
        ]

    assert [one.code for one in refused] == [5, 5], refused
    assert all("certificate" in one.err for one in refused), refused
    assert all(own_broker.password not in one.err for one in refused)
