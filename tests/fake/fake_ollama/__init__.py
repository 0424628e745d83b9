"""A fleet of fake Ollama servers over real sockets: slots, loads, both generations' words, faults, a log of their own."""

from fake_ollama.faults import Fault
from fake_ollama.fleet import FakeFleet
from fake_ollama.gateway import FakeGateway
from fake_ollama.generation import Speed
from fake_ollama.log import Entry, read_log
from fake_ollama.runner import Model
from fake_ollama.server import FakeOllama, peak_overlap
from fake_ollama.text import answer, prompt_hash

INSTANT = Speed(prefill_tokens_per_s=float("inf"), decode_tokens_per_s=float("inf"))
"""Everything at once; for benchmarks and for tests where time is of no matter."""

__all__ = [
    "INSTANT",
    "Entry",
    "FakeFleet",
    "FakeGateway",
    "FakeOllama",
    "Fault",
    "Model",
    "Speed",
    "answer",
    "peak_overlap",
    "prompt_hash",
    "read_log",
]
