"""Fixtures of the tests over real sockets."""

from __future__ import annotations

import pytest
from socket_world import HTTP_ENGINES, HttpEngine


@pytest.fixture(params=HTTP_ENGINES.values(), ids=HTTP_ENGINES)
def engine_class(request: pytest.FixtureRequest) -> type[HttpEngine]:
    """Each engine that speaks HTTP itself."""
    return request.param
