"""What one writes first with asyncio: a semaphore, one task a prompt, everything in memory, one file at the end.

Usage: python bench/naive_asyncio.py URL PROMPTS OUTPUT CONCURRENCY [--uvloop] [--stream]
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp


async def ask(session: aiohttp.ClientSession, limit: asyncio.Semaphore, url: str, prompt: str, *, stream: bool) -> dict:
    """One prompt."""
    async with limit:
        try:
            body = {"model": "m:1b", "messages": [{"role": "user", "content": prompt}], "stream": stream}
            async with session.post(f"{url}/api/chat", json=body) as response:
                if not stream:
                    answer = (await response.json())["message"]["content"]
                else:
                    answer = ""
                    async for line in response.content:
                        answer += json.loads(line)["message"]["content"]
        except (aiohttp.ClientError, KeyError, ValueError) as error:
            return {"prompt": prompt, "error": str(error), "status": "failed"}
        return {"prompt": prompt, "response": answer, "status": "success"}


async def main(url: str, prompts: Path, output: Path, concurrency: int, *, stream: bool) -> None:
    """All prompts."""
    lines = [line.strip() for line in prompts.read_text().splitlines() if line.strip()]
    limit = asyncio.Semaphore(concurrency)
    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(*(ask(session, limit, url, line, stream=stream) for line in lines))
    output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    work = main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), stream="--stream" in sys.argv)
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)
