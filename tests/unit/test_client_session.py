"""How an instance is reached, with the secrets that its variables hold."""

from __future__ import annotations

import pytest

from arriero.client.session import address
from arriero.config.settings import InstanceConfig
from arriero.core.instance import Instance
from arriero.errors import ConfigError

GUARDED = InstanceConfig(
    instance=Instance(name="a", url="https://a"), api_key_env="MY_KEY", headers_env={"X-Team": "MY_TEAM"}
)


def test_the_secrets_of_an_instance_are_those_of_its_variables():
    assert address(GUARDED, {"MY_KEY": "k", "MY_TEAM": "t"}).headers == {"X-Team": "t", "Authorization": "Bearer k"}


@pytest.mark.parametrize("environ", [{"MY_KEY": "k"}, {"MY_TEAM": "t"}, {"MY_KEY": "", "MY_TEAM": "t"}])
def test_an_instance_is_not_asked_without_a_key_that_it_needs(environ: dict[str, str]):
    with pytest.raises(ConfigError, match="needs the environment variable MY_"):
        address(GUARDED, environ)
