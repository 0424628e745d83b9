"""Status: a snapshot of a batch as lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arriero.client import Snapshot

_OVER = ("finished", "stopped", "cancelled")
"""States in which nothing runs."""

_HEADINGS = ("INSTANCE", "STATE", "IN FLIGHT", "REQ/S", "TOK/S", "P50", "P95", "UNIT")


def status_lines(snapshot: Snapshot) -> list[str]:
    """The batch in one line, its speed, its failures, and a table of the instances if any are known."""
    counts = snapshot.counts
    finished = counts.succeeded + counts.failed
    total = "?" if counts.total is None else f"{counts.total:,}"
    requests = f"{counts.succeeded:,} succeeded   {counts.failed:,} failed   {counts.running:,} running"
    lines = [
        f"{snapshot.state:<10} {finished:,} of {total} finished   {requests}   {counts.waiting:,} waiting",
    ]
    over = snapshot.state in _OVER
    if not over or snapshot.rate_per_s:
        speed = f"{snapshot.rate_per_s:.1f} req/s   {snapshot.output_tokens_per_s:,.0f} tok/s"
        lines.append(f"{'speed':<10} {speed}   {'in the last run' if over else f'ETA {_clock(snapshot.eta_s)}'}")
    failed = [f"{kind} {number:,}" for kind, number in snapshot.attempts.items() if kind != "success"]
    if failed:
        lines.append(f"{'attempts':<10} " + "   ".join(failed))
    return lines + _table([_HEADINGS, *_rows(snapshot)]) if snapshot.instances else lines


def _rows(snapshot: Snapshot) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            one.state,
            f"{one.in_flight}/{'-' if one.limit is None else one.limit}",
            f"{one.rate_per_s:.1f}",
            f"{one.output_tokens_per_s:,.0f}",
            _clock(one.p50_s),
            _clock(one.p95_s),
            one.unit or "-",
        )
        for one in snapshot.instances
    ]


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _clock(seconds: float | None) -> str:
    """Seconds as ``3.2 s``, ``4 min 05 s`` or ``2 h 03 min``; ``-`` if unknown."""
    if seconds is None:
        return "-"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
