"""``python -m arriero``: the command line."""

from __future__ import annotations

from arriero.cli import main

if __name__ == "__main__":
    main()
