from __future__ import annotations

import os

import pytest

from arriero.errors import HeldError
from arriero.journal.lock import Lock, holder


def test_the_holder_is_named_while_the_lock_is_held(tmp_path):
    journal = tmp_path / "j"
    assert holder(journal) is None
    lock = Lock.take(journal)
    assert holder(journal) == (os.getpid(), os.uname().nodename)
    lock.release()
    assert holder(journal) is None


def test_the_second_taker_is_refused_and_the_first_keeps_it(tmp_path):
    lock = Lock.take(tmp_path / "j")
    with pytest.raises(HeldError, match=str(os.getpid())):
        Lock.take(tmp_path / "j")
    assert holder(tmp_path / "j") is not None
    lock.release()


def test_a_lock_file_left_by_a_dead_process_is_in_nobodys_way(tmp_path):
    (tmp_path / "j.lock").write_text("999999 elsewhere\n")
    assert holder(tmp_path / "j") is None
    lock = Lock.take(tmp_path / "j")
    assert holder(tmp_path / "j").pid == os.getpid()
    lock.release()
    lock.release()
    assert not (tmp_path / "j.lock").exists()
