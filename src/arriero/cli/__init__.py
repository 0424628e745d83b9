"""The command line: stdout is data, stderr is talk."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``arriero``; imports what a command needs only when it is used."""
    if sys.argv[1:] == ["--version"]:
        # Asked by scripts and shells again and again: not even the parser is worth loading for it.
        from arriero import __version__  # noqa: PLC0415

        print(f"arriero {__version__}")
        return
    from arriero.cli import ending  # noqa: PLC0415
    from arriero.cli.app import start  # noqa: PLC0415

    ending.keep_quiet()
    sys.exit(start(sys.argv[1:]))
