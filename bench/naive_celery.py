"""What one writes first with Celery: a task a prompt, a group over all of them, the answers through a result backend.

Usage: BROKER=URL BACKEND=URL SERVER=URL celery -A naive_celery worker -P threads -c 50
       BROKER=URL BACKEND=URL SERVER=URL python bench/naive_celery.py PROMPTS OUTPUT
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import urllib3
from celery import Celery, group

app = Celery("naive_celery", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.task_acks_late = True  # without it a killed worker loses what it has taken
pool = urllib3.PoolManager(maxsize=64)


@app.task
def infer(prompt: str) -> str:
    """One prompt."""
    body = {"model": "m:1b", "messages": [{"role": "user", "content": prompt}], "stream": False}
    answer = pool.request("POST", f"{os.environ['SERVER']}/api/chat", json=body, timeout=600.0)
    return answer.json()["message"]["content"]


def main(prompts: Path, output: Path) -> None:
    """All prompts."""
    lines = [line.strip() for line in prompts.read_text().splitlines() if line.strip()]
    answers = group(infer.s(line) for line in lines)().get()
    results = [{"prompt": line, "response": answer} for line, answer in zip(lines, answers, strict=True)]
    output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
