"""The report at the end of a run: what ended, how fast, what failed, slots, notes, and where the results lie."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from arriero.core.batch import BatchStatus
from arriero.core.instance import Concurrency
from arriero.monitor.advice import slots_advice
from arriero.monitor.safe import safe_text
from arriero.monitor.snapshot import Snapshot
from arriero.monitor.words import duration_words, note_words, number_words, plural

_LABEL_CHARS = 11


def summary(
    snapshot: Snapshot,
    *,
    target: Sequence[str],
    written: Sequence[str],
    concurrency: Concurrency,
    said: Sequence[str] = (),
) -> list[str]:
    """The lines that a person reads when ``run`` ends.

    Counts are of the whole batch; time, speed and latency are of this run, which says so where others went before it.

    Args:
        snapshot: The last one.
        target: What names the batch behind a command, for the one that shows the failures; empty: it is not kept.
        written: Files the results lie in now (``NAME.partial`` when the batch did not end); empty: standard output.
        concurrency: ``-c``, to say whether it fitted the slots.
        said: Further sentences, each a note.
    """
    lines = _head(snapshot)
    if snapshot.failures:
        kinds = "   ".join(f"{kind} {n:,}" for kind, n in sorted(snapshot.failures.items(), key=lambda item: -item[1]))
        shown = f"   {_command(('arriero', 'errors', *target))}" if target else ""
        lines.append(_line("failed", f"{kinds}{shown}"))
    cut = snapshot.finish_reasons.get("length", 0)
    if cut:
        are = "is" if cut == 1 else "are"
        whose = " of this run" if snapshot.restored else ""  # nobody has counted the earlier ones
        lines.append(
            _line("cut", f"{plural(cut, 'answer')}{whose} {are} cut at the token limit (finish_reason length)")
        )
    advice = slots_advice(snapshot, concurrency)
    if advice:
        lines.append(_line("slots", advice))
    lines += [_line("note", note_words(note)) for note in snapshot.notes]
    lines += [_line("note", safe_text(sentence)) for sentence in said]
    lines += [_line("output", safe_text(path)) for path in written] or [_line("output", "standard output")]
    return lines


def _head(snapshot: Snapshot) -> list[str]:
    """What was done; in one line if it was nothing."""
    ended = snapshot.counts.finished
    if snapshot.counts.total == 0:
        return [_line(snapshot.state, "0 rows")]
    if snapshot.state == BatchStatus.FINISHED and snapshot.restored == ended:
        return [_line(snapshot.state, f"nothing to do: all {plural(ended, 'request')} had ended before")]
    if not snapshot.restored:
        return [_counts(snapshot, f" in {duration_words(snapshot.makespan_s)}"), _speed(snapshot), *_latency(snapshot)]
    here = ended - snapshot.restored
    lines = [
        _counts(snapshot, ""),
        _line("this run", f"{plural(here, 'request')} in {duration_words(snapshot.makespan_s)}"),
    ]
    if here:
        lines += [f"{line}   (this run)" for line in (_speed(snapshot), *_latency(snapshot))]
    return lines


def resume_hint(command: Sequence[str]) -> str:
    """The exact command that goes on with a batch that was stopped, quoted for a shell."""
    return _line("resume", _command(command))


def _counts(snapshot: Snapshot, took: str) -> str:
    counts = snapshot.counts
    ended = plural(counts.finished, "request")
    if counts.total not in (None, counts.finished):
        ended = f"{counts.finished:,} of {plural(counts.total or 0, 'request')}"
    parts = [
        f"{ended}{took}",
        f"{counts.succeeded:,} succeeded",
        f"{counts.failed:,} failed",
    ]
    return _line(snapshot.state, "   ".join(parts))


def _speed(snapshot: Snapshot) -> str:
    makespan_s = snapshot.makespan_s or 1.0
    parts = [
        f"{number_words(snapshot.rate_per_s)} requests/s",
        f"{number_words(snapshot.usage.output_tokens / makespan_s)} tokens/s out",
        f"{number_words(snapshot.usage.prompt_tokens / makespan_s)} tokens/s in",
    ]
    return _line("speed", "   ".join(parts))


def _latency(snapshot: Snapshot) -> list[str]:
    if snapshot.p50_s is None or snapshot.p95_s is None:
        return []
    return [_line("latency", f"p50 {duration_words(snapshot.p50_s)}   p95 {duration_words(snapshot.p95_s)}")]


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_CHARS}}{text}"


def _command(command: Sequence[str]) -> str:
    return safe_text(shlex.join(command))
