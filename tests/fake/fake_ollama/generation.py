"""Generation: one answer from the loader to the last byte, with the faults that strike inside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from fake_ollama.faults import Fault
from fake_ollama.frames import Stats
from fake_ollama.job import Job
from fake_ollama.log import Entry
from fake_ollama.refusal import RefusedError
from fake_ollama.runner import PREFILL_LINGER_S, BusyError, DiedError, Loader, Model, Runner
from fake_ollama.text import answer_tokens, json_tokens
from fake_ollama.wire import Reply

BUSY = "server busy, please try again.  maximum pending requests exceeded"
DIED_RUNNING = "an error was encountered while running the model: unexpected EOF"
DIED_WAITING = {
    False: "llama-server process no longer running: unknown ",
    True: "llama runner process no longer running: -1 ",
}
DIED_LOADING = "llama-server process has terminated: signal: killed"

LEAST_LOAD_NS = 700_000
"""``load_duration`` of a model that is loaded already."""


@dataclass(frozen=True)
class Speed:
    """How fast a slot computes; ``inf`` tokens a second: at once."""

    prefill_tokens_per_s: float = 2000.0
    decode_tokens_per_s: float = 200.0
    load_s: float = 0.0

    @property
    def instant(self) -> bool:
        return self.decode_tokens_per_s == float("inf") and self.prefill_tokens_per_s == float("inf")


class Generation:
    """Answers one job.

    Args:
        job: What to answer.
        model: With which model.
        loader: Who loads it.
        speed: How fast.
        old: As 0.24 does it.
        context: ``num_ctx`` where the job names none.
        kill: Takes the whole server down.
    """

    def __init__(
        self,
        job: Job,
        model: Model,
        loader: Loader,
        speed: Speed,
        *,
        old: bool,
        context: int,
        fault: Fault | None,
        entry: Entry,
        kill: Callable[[], None],
    ) -> None:
        self.job = job
        self.model = model
        self.loader = loader
        self.speed = speed
        self.old = old
        self.context = context
        self.fault = fault
        self.entry = entry
        self.kill = kill
        self.stats = Stats()
        self._started = time.monotonic_ns()
        self._texts: list[str] = []

    async def play(self, reply: Reply) -> None:
        """Load, wait, compute, answer.

        Raises:
            RefusedError: With the status and text to answer, before anything was written.
        """
        job = self.job
        if job.turns.empty and job.keep_alive_s == 0:
            self.loader.unload(self.model)
            await self._whole(reply, "unload", None)
            return
        job.check_model(self.model, old=self.old)
        n_prompt = job.fit(int(job.options.get("num_ctx", self.context)), old=self.old)
        runner = await self._hold()
        try:
            if job.turns.empty:
                await self._whole(reply, "load", None)
            else:
                await self._compute(reply, runner, n_prompt)
        finally:
            self.loader.release(runner)

    async def _hold(self) -> Runner:
        try:
            runner = await self.loader.hold(self.model, self.job.runner_options(self.context), self.job.keep_alive_s)
        except BusyError:
            raise RefusedError(503, BUSY) from None
        except DiedError:
            raise RefusedError(500, DIED_LOADING) from None
        self.stats.load_duration = max(LEAST_LOAD_NS, time.monotonic_ns() - self._started)
        return runner

    async def _compute(self, reply: Reply, runner: Runner, n_prompt: int) -> None:
        try:
            await runner.take_slot()
        except DiedError:
            raise RefusedError(500, DIED_WAITING[self.old]) from None
        linger_s = 0.0
        try:
            linger_s = n_prompt / self.speed.prefill_tokens_per_s
            await self._prefill(runner, n_prompt)
            linger_s = 0.0
            await self._answer(reply, runner)
        except DiedError:
            await self._died(reply)
        except asyncio.CancelledError:
            left_s = self._prefill_ends - time.monotonic() if linger_s else 0.0
            runner.give_slot(left_s if self.old else min(left_s, PREFILL_LINGER_S))
            raise
        except BaseException:
            runner.give_slot()
            raise
        else:
            runner.give_slot()

    async def _prefill(self, runner: Runner, n_prompt: int) -> None:
        began = time.monotonic_ns()
        seconds = n_prompt / self.speed.prefill_tokens_per_s
        self._prefill_ends = time.monotonic() + seconds
        if self.fault and self.fault.kind == "hang":
            await runner.sleep(float("inf"))
        if seconds > 0:
            await runner.sleep(seconds)
        self.stats.prompt_eval_count = n_prompt
        self.stats.prompt_eval_duration = max(1000, time.monotonic_ns() - began)

    async def _answer(self, reply: Reply, runner: Runner) -> None:
        began = time.monotonic_ns()
        tokens, reason = self._tokens()
        token_s = 1 / self.speed.decode_tokens_per_s
        at_once = self.job.stream and self.speed.instant and self.fault is None
        for number, text in enumerate(tokens):
            if number and token_s:
                await runner.sleep(token_s)
            if self.fault and number == self.fault.after_tokens and await self._strike(reply, runner):
                return
            self._texts.append(text)
            self.entry.n_tokens += 1
            if self.job.stream and not at_once:
                await self._token(reply, text)
        self.stats.eval_count = len(tokens)
        self.stats.eval_duration = time.monotonic_ns() - began if len(tokens) > 1 else (0 if self.old else 1000)
        self.stats.total_duration = time.monotonic_ns() - self._started
        if at_once:
            await self._all_at_once(reply, reason)
        else:
            await self._end(reply, reason)

    def _tokens(self) -> tuple[list[str], str]:
        """The answer cut to ``num_predict``; 0 and less mean no bound that matters here."""
        job = self.job
        tokens = (
            json_tokens(job.turns.prompt)
            if job.wants_json
            else answer_tokens(job.turns.prompt, self.model.answer_tokens)
        )
        most = int(job.options.get("num_predict", -1))
        if self.old and job.body.get("shift") is False and self.stats.prompt_eval_count < job.turns.n_tokens:
            most = 1  # the context is full and may not be shifted
        return (tokens[:most], "length") if 0 < most < len(tokens) else (tokens, "stop")

    async def _token(self, reply: Reply, text: str) -> None:
        if not reply.opened:
            await reply.open(200, self.job.frames.stream_type)
        await reply.piece(self.job.frames.token(text))

    async def _all_at_once(self, reply: Reply, reason: str) -> None:
        """Every piece of an instant answer in a single write; for benchmarks."""
        frames = self.job.frames
        pieces = [frames.token(text) for text in self._texts]
        await reply.stream(frames.stream_type, [*pieces, frames.last(reason, self.stats, self._context())])

    async def _end(self, reply: Reply, reason: str) -> None:
        kind = self.fault.kind if self.fault else ""
        if kind == "wrong_model":
            self.job.frames.model = "another:1b"  # type: ignore[attr-defined]
        unfinished = kind in ("no_done", "repeat_abort")
        stats = None if kind == "no_timings" else self.stats
        if not self.job.stream:
            await self._whole(reply, None if unfinished else reason, stats)
            return
        if not unfinished:
            await reply.piece(self.job.frames.last(reason, stats, self._context()))
        await reply.finish()

    async def _whole(self, reply: Reply, reason: str | None, stats: Stats | None) -> None:
        frames = self.job.frames
        await reply.send(200, frames.whole("".join(self._texts), reason, stats, self._context()), frames.whole_type)

    def _context(self) -> dict[str, list[int]]:
        """Prompt and answer in tokens, which /api/generate gives back unless it was raw."""
        n_tokens = self.stats.prompt_eval_count + self.stats.eval_count
        return {"context": list(range(n_tokens))} if self.job.with_context and self.stats.eval_count else {}

    async def _died(self, reply: Reply) -> None:
        self.entry.fault = self.entry.fault or "model process died"
        if not reply.opened:
            raise RefusedError(500, DIED_RUNNING)
        await reply.piece(self.job.frames.error_line(DIED_RUNNING))
        await reply.finish()

    async def _strike(self, reply: Reply, runner: Runner) -> bool:
        """Play a fault inside the answer; True if that was the end of it."""
        kind = self.fault.kind if self.fault else ""
        if kind == "hang_mid":
            await runner.sleep(float("inf"))
        elif kind == "stall" and self.fault:
            await runner.sleep(self.fault.pause_s)
        elif kind == "crash":
            self.loader.die()
            raise DiedError
        elif kind == "kill":
            self.kill()
        elif kind == "reset_mid":
            reply.reset()
        elif kind == "close_mid":
            reply.close()
        elif kind == "error_mid":
            await self._died(reply)
        return kind in ("kill", "reset_mid", "close_mid", "error_mid")
