"""The address of a broker: which are taken, and that its password is neither repeated nor kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.config.broker import broker_url, without_password
from arriero.config.load import load, override
from arriero.config.show import shown
from arriero.errors import ConfigError

URL = "redis://:s3cret@10.0.0.5:6379/0"


@pytest.mark.parametrize(
    "url", ["http://10.0.0.5", "redis://", "10.0.0.5:6379", "redis://:s3cret@h/0?ssl_cert_reqs=none", "sqs://s3cret@h"]
)
def test_what_is_no_broker_or_would_not_verify_tls_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        broker_url(url)

    assert "s3cret" not in f"{refused.value.message}{refused.value.hint}"


def test_the_password_is_left_out_of_what_is_shown() -> None:
    assert without_password(URL) == "redis://10.0.0.5:6379/0"
    assert without_password("amqp://user:s3cret@[::1]//") == "amqp://[::1]//"
    settings = load({"input": "a.txt", "broker": URL}, {}, Path("/nowhere"))
    assert not any("s3cret" in row.value for row in shown(settings))


def test_the_flag_means_the_engine_and_that_engine_adds_no_address_and_needs_a_broker() -> None:
    settings = load({"input": "a.txt", "broker": URL}, {}, Path("/nowhere"))
    assert (settings.engine, settings.instances) == ("celery", ())

    by_variable = load({"input": "a.txt"}, {"ARRIERO_BROKER": URL}, Path("/nowhere"))
    assert by_variable.engine == "asyncio"
    with pytest.raises(ConfigError, match="needs a broker"):
        load({"input": "a.txt", "engine": "celery"}, {}, Path("/nowhere"))


def test_a_resume_takes_the_password_from_the_environment() -> None:
    stored = load({"input": "a.txt", "broker": "redis://10.0.0.5:6379/0"}, {}, Path("/nowhere"))

    assert override(stored, {}, {"ARRIERO_BROKER": URL}, Path("/nowhere")).broker == URL
