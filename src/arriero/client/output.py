"""Output: a batch's output, written of its journal and its input."""

from __future__ import annotations

import sys
from collections.abc import Callable

from arriero.client.batch import BATCH, prompt_for
from arriero.config.settings import Settings
from arriero.inputs.source import Source
from arriero.journal.reader import JournalReader
from arriero.outputs.export import Exported, export, export_stream
from arriero.outputs.openai import session_clocks
from arriero.outputs.patient import patient


def write_output(
    settings: Settings, source: Source, *, complete: bool, stopped: Callable[[], bool] = lambda: False
) -> Exported:
    """Export the journal; see ``outputs.export``.

    Args:
        settings: The batch's.
        source: Its input.
        complete: Whether it has ended.
        stopped: Whether a standard output that nobody reads is to be waited for no longer.

    Raises:
        UnreadError: If that is so.
    """
    with JournalReader(settings.journal) as reader:
        rows, results = source.rows(), reader.results(BATCH)
        clocks = session_clocks(reader.sessions())
        prompt = prompt_for(settings)
        if settings.output == "-":
            stream = patient(sys.stdout.buffer, stopped)
            return export_stream(stream, settings.output_format, rows, results, prompt=prompt, clocks=clocks)
        return export(
            settings.output,
            settings.output_format,
            rows,
            results,
            complete=complete,
            prompt=prompt,
            clocks=clocks,
        )
