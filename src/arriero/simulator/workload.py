"""Workload: requests and their true costs from a seed."""

from __future__ import annotations

from math import log
from random import Random

import msgspec
from msgspec import structs

from arriero.core.outcome import Failure, FailureKind
from arriero.core.request import GENERATE, BatchId, Content, Request, Result, Unit
from arriero.simulator.spec import Truth, Truths

CHARS_PER_TOKEN = 4.0
"""Characters a prompt token here; the scheduler's first guess is 3."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one batch are like.

    Attributes:
        rows: How many.
        units: Units of the rows, drawn evenly.
        prompt_tokens: Median of a lognormal (sigma 0.8, clipped to 16 .. 4,096: ``dispatch`` world).
        output_tokens: Median of a lognormal, clipped to 4 .. 2,048.
        spread: Sigma of the output tokens, inside a family where there are some.
        families: Kinds of rows, each with a length of its own (1: all alike, lengths cannot be foreseen).
        capped: Rows name ``max_tokens``, 1.2 to 3 times the truth.
        poison: Rows that kill the model process.
        too_long: Rows whose prompt no context holds.
        bad: Rows that can never be sent.
        stubborn: Rows that every server answers with an error.
        formless: Rows whose answers often have not the form that was asked for.
        repeats: Rows that every server gives up because of many identical tokens.
        refused: Rows that every server says are wrong.
        pictures: Rows that only a model with eyes could answer.
        hasty: Share of the rows that give their attempts little time.
        generate: Share of the rows that name another path than the others.
        terse: Share of the rows that allow one token.
        lying: Rows without ``max_tokens`` whose answer outgrows any context.
    """

    rows: int
    units: tuple[Unit, ...] = (Unit("mistral:7b"),)
    prompt_tokens: int = 60
    output_tokens: int = 60
    spread: float = 0.6
    families: int = 1
    capped: bool = False
    poison: int = 0
    too_long: int = 0
    bad: int = 0
    lying: int = 0
    stubborn: int = 0
    formless: int = 0
    repeats: int = 0
    refused: int = 0
    pictures: int = 0
    hasty: float = 0.0
    generate: float = 0.0
    terse: float = 0.0


def requests(
    workload: Workload, batch: BatchId, random: Random, *, priorities: tuple[int, ...] = (0,)
) -> tuple[list[Request | Result], Truths]:
    """The rows of one batch in input order, and what each costs."""
    means = [log(workload.output_tokens) + random.gauss(0.0, 0.7) for _ in range(workload.families)]
    if workload.families == 1:
        means = [log(workload.output_tokens)]
    wanted = workload.poison + workload.too_long + workload.bad + workload.lying
    odd = random.sample(range(workload.rows), min(workload.rows, wanted))
    poison, rest = set(odd[: workload.poison]), odd[workload.poison :]
    long, rest = set(rest[: workload.too_long]), rest[workload.too_long :]
    bad, lying = set(rest[: workload.bad]), set(rest[workload.bad :])
    stubborn = set(random.sample(range(workload.rows), workload.stubborn)) if workload.stubborn else set()
    rows: list[Request | Result] = []
    truths: Truths = {}
    for position in range(workload.rows):
        family = random.randrange(workload.families)
        prompt = _lognormal(random, log(workload.prompt_tokens), 0.8, 16, 4096)
        output = _lognormal(random, means[family], workload.spread, 4, 2048)
        if position in long:
            prompt = 100_000
        chars = prompt * CHARS_PER_TOKEN
        if position in lying:
            prompt, output = random.randint(400, 800), 100_000
            chars = prompt / 2  # a script with two tokens a character: nobody expects a prompt as long
        cap = round(output * random.uniform(1.2, 3.0)) if workload.capped and position not in lying else None
        row = Request(
            batch=batch,
            position=position,
            line=position + 1,
            id=str(position + 1),
            content=Content(),
            unit=random.choice(workload.units),
            row_hash=position.to_bytes(16),
            size_chars=round(chars),
            size_bytes=round(chars),
            max_tokens=cap,
            priority=random.choice(priorities),
            family=f"family {family}" if workload.families > 1 else "",
        )
        truths[batch, position] = Truth(prompt, output, poison=position in poison, stubborn=position in stubborn)
        if position in bad:
            rows.append(Result(request=row, outcome=Failure(kind=FailureKind.REJECTED, detail="bad row")))
        else:
            rows.append(row)
    return _flawed(workload, rows, truths, random)


def _flawed(
    workload: Workload, rows: list[Request | Result], truths: Truths, random: Random
) -> tuple[list[Request | Result], Truths]:
    """The same rows, some of them with what is wrong or peculiar about them."""
    flawed = ["formless"] * workload.formless + ["repeats"] * workload.repeats + ["refused"] * workload.refused
    wanted = min(workload.rows, len(flawed) + workload.pictures)
    odd = random.sample(range(workload.rows), wanted) if wanted else []
    flaws = dict(zip(odd, flawed, strict=False))
    for number, row in enumerate(rows):
        if isinstance(row, Result):
            continue
        key = (row.batch, row.position)
        flaw = flaws.get(row.position)
        if flaw is not None:
            truths[key] = structs.replace(truths[key], **{flaw: True})
        if row.position in odd and flaw is None:
            row = structs.replace(row, needs_vision=True)  # noqa: PLW2901 - a row is changed step by step
        if workload.hasty and chance(random, workload.hasty):
            row = structs.replace(row, timeout_s=random.choice((1.0, 5.0, 40.0)))  # noqa: PLW2901
        if workload.generate and chance(random, workload.generate):
            row = structs.replace(row, content=Content(endpoint=GENERATE))  # noqa: PLW2901
        if workload.terse and chance(random, workload.terse):
            row = structs.replace(row, max_tokens=1)  # noqa: PLW2901
        rows[number] = row
    return rows, truths


def chance(random: Random, share: float) -> bool:
    """Whether something of this share happens now."""
    return random.random() < share


def _lognormal(random: Random, mean: float, deviation: float, least: int, most: int) -> int:
    return min(most, max(least, round(random.lognormvariate(mean, deviation))))
