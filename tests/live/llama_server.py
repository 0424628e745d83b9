"""``llama-server`` for a real Ollama: llama.cpp's own server out of the xllamacpp wheel, under the flags Ollama gives.

Ollama starts a program of that name for every model. The only prebuilt one on a package registry was compiled for one
processor family and dies of an illegal instruction on others; this wheel runs on every x86-64 with AVX2 and on arm64.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The flags of Ollama 0.33 for a text model; any other one is an error, so that nothing is left out silently."""
    flags = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    for name in ("--model", "--host", "--chat-template"):
        flags.add_argument(name, default="")
    for name in ("--port", "-c", "-np", "-b", "-ub", "-t", "--keep"):
        flags.add_argument(name, type=int, default=0)
    for name in ("--no-jinja", "--context-shift", "--embedding"):
        flags.add_argument(name, action="store_true")
    # These change a screen, a download or a GPU, and there is none of them here.
    for name in ("--no-webui", "--offline", "--no-log-prefix", "--no-log-timestamps"):
        flags.add_argument(name, action="store_true")
    for name in ("--log-verbosity", "--load-mode", "--flash-attn", "-ngl"):
        flags.add_argument(name)
    return flags


def params(flags: argparse.Namespace, engine: Any) -> Any:
    """The flags as llama.cpp's parameters."""
    chosen = engine.CommonParams()
    chosen.model.path = flags.model
    chosen.port, chosen.n_ctx, chosen.n_parallel = flags.port, flags.c, flags.np
    chosen.n_batch, chosen.n_ubatch = flags.b or chosen.n_batch, flags.ub or chosen.n_ubatch
    chosen.n_keep, chosen.ctx_shift = flags.keep, flags.context_shift
    chosen.use_jinja, chosen.chat_template = not flags.no_jinja, flags.chat_template
    chosen.embedding = flags.embedding
    chosen.verbosity = 4  # Ollama reads the memory it needs from these lines
    if flags.t:
        chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = flags.t
    return chosen


def main() -> None:
    """Serve until a signal ends the process."""
    flags = parser().parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))
    import xllamacpp  # noqa: PLC0415 - it stands beside this file, and only there

    server = xllamacpp.Server(params(flags, xllamacpp))
    if not server.listening_address.startswith(f"http://{flags.host or '127.0.0.1'}:"):
        sys.exit(f"llama-server: listens on {server.listening_address}")
    threading.Event().wait()


if __name__ == "__main__":
    main()
