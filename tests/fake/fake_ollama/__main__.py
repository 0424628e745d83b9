"""A fake fleet as a process of its own: ``python -m fake_ollama --port-file F --slots 1 2 4``.

It writes ``{"instances": [{"name", "url", "log"}], "gateway": url or ""}`` to the port file once everything listens, then
prints ``ready``, and ends on SIGTERM or when its standard input closes, so that it cannot outlive a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from fake_ollama import INSTANT, FakeGateway, FakeOllama, Model, Speed
from fake_ollama.faults import from_json


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fake_ollama", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--slots", type=int, nargs="+", default=[1], help="one server for each number")
    parser.add_argument("--ports", type=int, nargs="*", default=[], help="fixed ports; else free ones")
    parser.add_argument("--models", nargs="+", default=["mistral:7b"])
    parser.add_argument("--answer-tokens", type=int, help="output tokens of every answer; else by the prompt's hash")
    parser.add_argument("--version", nargs="+", default=["0.33.0"], help="one for all, or one a server")
    parser.add_argument("--log", type=Path, help="folder for NAME.jsonl")
    parser.add_argument("--instant", action="store_true")
    parser.add_argument("--prefill", type=float, default=2000.0, help="tokens/s")
    parser.add_argument("--decode", type=float, default=200.0, help="tokens/s and slot")
    parser.add_argument("--load", type=float, default=0.0, help="seconds a model takes to load")
    parser.add_argument("--max-queue", type=int, default=512)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--keep-alive", type=float, default=300.0, help="seconds")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--openai-only", action="store_true", help="nothing under /api/")
    parser.add_argument("--faults", type=Path, help="JSON list of faults, for every server")
    parser.add_argument("--gateway", action="store_true", help="hide all servers behind one address")
    parser.add_argument("--gateway-no-timings", action="store_true")
    parser.add_argument("--gateway-no-streams", action="store_true")
    return parser.parse_args(arguments)


def build(options: argparse.Namespace) -> list[FakeOllama]:
    speed = INSTANT if options.instant else Speed(options.prefill, options.decode, options.load)
    faults = json.loads(options.faults.read_text()) if options.faults else []
    servers = []
    for number, slots in enumerate(options.slots):
        name = f"fake-{number}"
        servers.append(
            FakeOllama(
                slots,
                [Model(model, answer_tokens=options.answer_tokens) for model in options.models],
                options.version[number % len(options.version)],
                speed=speed,
                max_queue=options.max_queue,
                keep_alive_s=options.keep_alive,
                context=options.context,
                serves=("/v1/",) if options.openai_only else ("/api/", "/v1/", "/"),
                api_key=options.api_key,
                faults=from_json(faults),
                seed=number,
                name=name,
                log=options.log / f"{name}.jsonl" if options.log else None,
                port=options.ports[number] if number < len(options.ports) else 0,
            )
        )
    return servers


async def serve(options: argparse.Namespace) -> None:
    if options.log:
        options.log.mkdir(parents=True, exist_ok=True)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_reader(sys.stdin, lambda: os.read(0, 4096) or over.set())
    servers = build(options)
    async with AsyncExitStack() as stack:
        gateway = ""
        if options.gateway:
            front = FakeGateway(servers, timings=not options.gateway_no_timings, streams=not options.gateway_no_streams)
            gateway = (await stack.enter_async_context(front)).url
        else:
            for server in servers:
                await stack.enter_async_context(server)
        found = [{"name": s.name, "url": s.url, "log": str(s.log.path or "")} for s in servers]
        partial = options.port_file.with_suffix(".partial")
        partial.write_text(json.dumps({"instances": found, "gateway": gateway}))
        partial.rename(options.port_file)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await over.wait()


def main() -> None:
    options = parse(sys.argv[1:])
    try:
        import uvloop  # noqa: PLC0415  # not on Windows
    except ImportError:
        asyncio.run(serve(options))
    else:
        uvloop.run(serve(options))


if __name__ == "__main__":
    main()
