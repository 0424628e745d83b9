"""What a resume cannot do without: each finished row of the input hashed and compared with the journal; prints CPU seconds.

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
    source = FileSource.open(sys.argv[1], "txt")
    with JournalReader(Path(sys.argv[2])) as reader:
        for (_, digest, _), line in zip(reader.hashes(), source.lines(), strict=False):
            assert source.known(line)[0] == digest
    sys.stdout.write(f"{time.process_time() - began}")
