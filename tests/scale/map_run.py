"""``arriero.map`` over an iterable that makes its prompts as they are asked for; looks at its own memory all the while.

Usage: python map_run.py URL ROWS [JOURNAL]

Prints JSON: looks at itself (done, resident bytes, open files), and how far ahead of its answers the iterable was read.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

from watching import open_files, rss_bytes

import arriero

LOOKS = 200


def main(url: str, rows: int, journal: str | None) -> None:
    """Count the answers and look."""
    asked = 0

    def prompts() -> Iterator[str]:
        nonlocal asked
        for asked in range(1, rows + 1):
            yield f"Tell me what there is to know of number {asked:09}, in short."

    looks: list[tuple[int, int, int]] = []
    done = ahead = failed = 0
    settings = {"concurrency": "64"}
    for answer in arriero.map(prompts(), model="m:1b", fleet=[url], settings=settings, journal=journal):
        done += 1
        failed += not answer.succeeded
        ahead = max(ahead, asked - done)
        if done % (rows // LOOKS) == 0:
            looks.append((done, rss_bytes(os.getpid()), open_files(os.getpid())))
    json.dump({"done": done, "failed": failed, "ahead": ahead, "looks": looks}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
