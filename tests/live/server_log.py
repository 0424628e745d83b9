"""ServerLog: what one real Ollama server wrote about the requests it served."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ACCESS = re.compile(r"\[GIN\] [^\n\[]*\| (\d{3}) \|[^\n]*\| (\w+) +\"([^\"\n]*)\"")
"""Not bound to the start of a line: Ollama and its model process write to one pipe, and share a line now and then."""
SLOT = re.compile(r"slot +(launch_slot_|release): id +(\d+) \| task \d+ \| (?:processing task|.*n_tokens = (\d+))")
LOAD = 'msg="starting llama-server"'


@dataclass(frozen=True)
class ServerLog:
    """The text of a log; the lines of llama-server stand among Ollama's own, in the order of events."""

    text: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The log as it is now."""
        return cls(path.read_text(errors="replace"))

    def statuses(self, *paths: str) -> Counter[int]:
        """Requests for these paths that have ended, by status."""
        return Counter(int(status) for status, _, asked in ACCESS.findall(self.text) if asked in paths)

    def overlap(self) -> int:
        """The most answers that the model process had under way at one moment."""
        running: set[str] = set()
        most = 0
        for event, slot, _ in SLOT.findall(self.text):
            running = running - {slot} if event == "release" else running | {slot}
            most = max(most, len(running))
        return most

    def begun(self) -> int:
        """Answers that were given a slot."""
        return sum(event == "launch_slot_" for event, _, _ in SLOT.findall(self.text))

    def released(self) -> list[int]:
        """Tokens, of prompt and answer, in each slot when it was given back."""
        return [int(tokens) for event, _, tokens in SLOT.findall(self.text) if event == "release"]

    def loads(self) -> int:
        """Model processes that were started."""
        return self.text.count(LOAD)
