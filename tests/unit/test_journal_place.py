from __future__ import annotations

import os
from pathlib import Path

import pytest
from journal_rows import opened

from arriero.errors import StorageError
from arriero.journal import place
from arriero.journal.reader import JournalReader

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /mnt/my\040share rw - nfs4 server:/export rw
31 30 0:41 / /mnt/my\040share/local rw - xfs /dev/vdb rw
32 27 0:42 / /mnt/smb rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/j", "ext4"),
        ("/mnt/my share/j", "nfs4"),
        ("/mnt/my share/local/j", "xfs"),
        ("/mnt/smb/deep/j", "cifs"),
        ("/mnt/smbx/j", "ext4"),
    ],
)
def test_the_longest_mount_point_tells_the_file_system(path, kind):
    assert place.file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("path", ["/mnt/my share/j", "/mnt/smb/j"])
def test_a_network_file_system_is_refused_with_the_way_out(path):
    with pytest.raises(StorageError, match="network file system") as caught:
        place.refuse_network(Path(path), MOUNTS)
    assert "--journal" in caught.value.hint


def test_a_local_file_system_is_accepted():
    place.refuse_network(Path("/mnt/my share/local/j"), MOUNTS)
    place.refuse_network(Path("/j"), "")


def test_a_link_in_the_place_of_the_journal_is_refused(tmp_path):
    opened(tmp_path / "real").close()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StorageError, match="symbolic link"):
        opened(tmp_path / "link")
    with pytest.raises(StorageError, match="symbolic link"):
        JournalReader(tmp_path / "link")


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path):
    (tmp_path / "j.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="lock"):
        opened(tmp_path / "j")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_behind_a_link_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    opened(tmp_path / "link" / "j").close()
    assert (tmp_path / "real" / "j").exists()


def test_a_missing_folder_is_said_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(StorageError, match="does not exist") as caught:
        opened(tmp_path / "no" / "j")
    assert caught.value.hint == f"mkdir -p {tmp_path / 'no'}"


def test_a_folder_in_the_place_of_the_journal_is_refused(tmp_path):
    (tmp_path / "j").mkdir()
    with pytest.raises(StorageError, match="not a regular file"):
        opened(tmp_path / "j")


def test_free_bytes_are_those_of_the_disk_also_before_the_file_is_there(tmp_path):
    disk = os.statvfs(tmp_path)
    assert 0 < place.free_bytes(tmp_path / "not there yet") <= disk.f_blocks * disk.f_frsize
