"""The child process: a llama.cpp server on 127.0.0.1 that ends when its standard input closes.

Started as ``python -m arriero.local.child JSON``; writes one JSON line when it is ready. A process of its own, because
an abort in C++ would take the batch with it; tied to its parent by a pipe, because a parent killed with SIGKILL can
tell nobody.
"""

from __future__ import annotations

import os
import sys

import msgspec

from arriero.local.protocol import ChildOptions, ChildReady


def serve(options: ChildOptions) -> object:
    """Load the model and listen on a free port; the server lives as long as what is returned."""
    import xllamacpp  # noqa: PLC0415 - 100 MB, wanted by the child only

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.name}  # a set: a string would become a set of letters
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context_tokens  # llama.cpp shares it out among the slots
    params.port = 0
    params.verbosity = 0
    params.cache_ram_mib = options.cache_mib
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    return xllamacpp.Server(params)


def main() -> None:
    """Serve until the parent closes the pipe or is gone."""
    options = msgspec.json.decode(sys.argv[1], type=ChildOptions)
    # What C++ prints must not get between the parent and the line it waits for.
    ready = os.dup(1)
    os.dup2(2, 1)
    server = serve(options)
    os.write(ready, msgspec.json.encode(ChildReady(url=server.listening_address)) + b"\n")  # type: ignore[attr-defined]
    os.close(ready)
    while os.read(0, 4096):
        pass
    # Requests that still run would hold an orderly end up.
    os._exit(0)


if __name__ == "__main__":
    main()
