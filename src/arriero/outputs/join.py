"""The join of input rows with how they ended: both come in input order, neither is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arriero.errors import BindingError
from arriero.inputs.row import BadRow, Row
from arriero.journal.stored import StoredResult


def join(rows: Iterable[Row | BadRow], results: Iterable[StoredResult]) -> Iterator[tuple[Row | BadRow, StoredResult]]:
    """Pairs of a row and how it ended; rows that have not ended are left out.

    Args:
        rows: By position, from 0, without gaps. Read only as far as there are results.
        results: By position.

    Yields:
        One pair for each of ``results``, in order.

    Raises:
        BindingError: If the input is not the one that was answered: a row has changed, or is missing (P8).
    """
    remaining = iter(rows)
    for stored in results:
        row = None
        for row in remaining:
            if row.position >= stored.position:
                break
        if row is None or row.position != stored.position:
            raise BindingError(
                f"the input has no row {stored.position + 1:,}, but the journal has its result",
                hint="give back the input that the journal belongs to",
            )
        check(row, stored)
        yield row, stored


def check(row: Row | BadRow, stored: StoredResult) -> None:
    """Hold a row against the one that was answered; a salvaged result does not know its row.

    Raises:
        BindingError: If their hashes differ.
    """
    if stored.row_hash and row.hash != stored.row_hash:
        raise BindingError(
            f"line {row.line:,} of the input has changed since it was answered",
            hint="give back the input that the journal belongs to, or start anew with --force",
        )
