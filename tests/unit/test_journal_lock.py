from __future__ import annotations

import os
from pathlib import Path

import pytest

from arriero.errors import HeldError
from arriero.journal import lock as lock_module
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


def test_a_lock_on_a_file_that_its_owner_removed_meanwhile_is_none(tmp_path, monkeypatch):
    opened = []

    def open_late(path):
        descriptor = open_file(path)
        opened.append(path)
        if len(opened) == 1:
            path.unlink()  # the owner before lets go between our open and our lock
        return descriptor

    open_file = lock_module._open
    monkeypatch.setattr(lock_module, "_open", open_late)
    lock = Lock.take(tmp_path / "j")

    assert holder(tmp_path / "j") is not None
    lock.release()


def test_a_lock_file_is_removed_while_it_is_still_held(tmp_path, monkeypatch):
    lock = Lock.take(tmp_path / "j")
    holders = []
    unlink = Path.unlink

    def remove(path, **kwargs):
        holders.append(holder(tmp_path / "j"))
        unlink(path, **kwargs)

    monkeypatch.setattr(Path, "unlink", remove)
    lock.release()

    assert [one and one.pid for one in holders] == [os.getpid()]
