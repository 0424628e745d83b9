"""What a resume cannot do without: one pass over the finished rows of the input and of the journal; prints CPU seconds.

Usage: python pass_run.py INPUT JOURNAL
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from arriero.inputs.source import FileSource
from arriero.journal.reader import JournalReader

if __name__ == "__main__":
    began = time.process_time()
    rows = FileSource.open(sys.argv[1], "txt").lines()
    with JournalReader(Path(sys.argv[2])) as reader:
        for (_, digest, _), line in zip(reader.hashes(), rows, strict=False):
            assert digest, line
    sys.stdout.write(f"{time.process_time() - began}")
