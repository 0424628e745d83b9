from __future__ import annotations

from pathlib import Path

from arriero.config.folders import config_file, state_folder


def test_settings_and_state_lie_where_the_xdg_specification_says():
    assert config_file({"HOME": "/h"}) == Path("/h/.config/arriero/config.toml")
    assert config_file({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/arriero/config.toml")
    assert state_folder({"HOME": "/h"}) == Path("/h/.local/state/arriero")
    assert state_folder({"XDG_STATE_HOME": "/s"}) == Path("/s/arriero")


def test_a_relative_xdg_folder_is_ignored_and_no_home_means_no_folder():
    assert state_folder({"HOME": "/h", "XDG_STATE_HOME": "s"}) == Path("/h/.local/state/arriero")
    assert config_file({}) is None
