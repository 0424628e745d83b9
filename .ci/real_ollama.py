# ruff: noqa: INP001 - a folder of programs, no package
"""Command line for the real Ollama fleet of the tests; the code is in ``tests/live``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "live"))
    from real_ollama import main

    sys.exit(main(sys.argv[1:]))
