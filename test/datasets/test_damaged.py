"""What a killed recorder leaves: every cut, open transactions, no metadata.yaml."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from bag_recipes import SKELETONS, START, chunked_bag, skeleton_message, write_bag
from mcap.records import DataEnd
from mcap.stream_reader import StreamReader
from rosbags.rosbag2 import StoragePlugin

from action_recognition.datasets.bags import BagReader, BagSkeletons
from action_recognition.errors import UserError
from action_recognition.skeleton import NUM_JOINTS, Poses

STEP = 33_333_333
COUNT = 60


def people(count=COUNT):
    rng = np.random.default_rng(0)
    for k in range(count):
        xy = rng.uniform(0, 300, (1, NUM_JOINTS, 2))
        yield Poses(xy, np.full((1, NUM_JOINTS), 0.9), np.array([1]), START + k * STEP, (640, 480))


def stamps(spec):
    with BagSkeletons(str(spec)) as bag:
        return [poses.stamp for poses in bag], bag.state


WHOLE = [START + k * STEP for k in range(COUNT)]


def test_of_every_cut_the_messages_before_it_are_read(tmp_path):
    whole = chunked_bag(
        tmp_path / 'whole.mcap', SKELETONS, map(skeleton_message, people()), chunk_size=1024
    )
    assert stamps(whole) == (WHOLE, '')
    data, counts = whole.read_bytes(), []
    with whole.open('rb') as stream:
        reader = StreamReader(stream)
        next(record for record in reader.records if isinstance(record, DataEnd))
        after_data = stream.tell()
    cuts = np.random.default_rng(1).integers(0, len(data), 40)
    for cut in sorted(
        {*cuts.tolist(), after_data - 9, after_data + 9, len(data) - 1, len(data) - 9}
    ):
        file = tmp_path / 'cut.mcap'
        file.write_bytes(data[:cut])
        try:
            found, state = stamps(file)
        except UserError as error:
            assert str(error).startswith(f'cannot read bag {file}')
            found = []
        else:
            lost = 'the index behind' if cut > after_data else 'partial: the file is cut; '
            assert state.startswith(lost)
        assert found == WHOLE[: len(found)]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[-1] == COUNT
    assert len(set(counts)) > 4


def test_noise_in_a_chunk_ends_what_is_read(tmp_path):
    file = chunked_bag(tmp_path / 'k.mcap', SKELETONS, map(skeleton_message, people()))
    data = bytearray(file.read_bytes()[:-100])
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    file.write_bytes(data)
    found, state = stamps(file)
    assert 0 < len(found) < COUNT
    assert found == WHOLE[: len(found)]
    assert state.startswith('partial')


def test_without_mcap_whole_bags_are_read_and_of_cut_ones_is_said_what_is_missing(tmp_path):
    whole = write_bag(tmp_path / 'k', {'/skeletons': map(skeleton_message, people())})
    cut = chunked_bag(tmp_path / 'cut.mcap', SKELETONS, map(skeleton_message, people()))
    cut.write_bytes(cut.read_bytes()[:-200])
    program = f"""
import sys
sys.modules['mcap'] = None
from action_recognition.datasets.bags import BagSkeletons
from action_recognition.errors import UserError
import action_recognition.evaluation.bag
with BagSkeletons({str(whole)!r}) as bag:
    print(len(list(bag)))
try:
    BagSkeletons({str(cut)!r})
except UserError as error:
    print(error)
"""
    found = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [
        str(COUNT),
        f'cannot read bag {cut}: it is cut or damaged; to read what is left: pip install mcap',
    ]


@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_without_metadata_all_files_are_read(tmp_path, plugin):
    path = write_bag(tmp_path / 'k', {'/skeletons': map(skeleton_message, people())}, plugin=plugin)
    (path / 'metadata.yaml').unlink()
    assert stamps(path) == (WHOLE, 'metadata.yaml is missing; all files were read')


def copy_open(path, database, copy):
    """The bag as it lies on disk in the middle of this."""
    shutil.copytree(path, copy)
    database.close()
    return next(copy.glob('*.db3'))


@pytest.mark.parametrize('mode', ['wal', 'delete'])
def test_open_transactions_are_taken_as_sqlite_does(tmp_path, mode):
    path = write_bag(
        tmp_path / 'k', {'/skeletons': map(skeleton_message, people())}, StoragePlugin.SQLITE3
    )
    database = sqlite3.connect(next(path.glob('*.db3')))
    database.execute(f'PRAGMA journal_mode={mode}')
    database.execute('PRAGMA cache_size=1')  # so that what is not committed reaches the disk
    database.execute('DELETE FROM messages WHERE timestamp >= ?', (WHOLE[40],))
    if mode == 'wal':
        database.commit()  # into the log beside the file, which alone still holds all
    file = copy_open(path, database, tmp_path / 'killed')
    before = {f.name: f.read_bytes() for f in file.parent.iterdir()}
    assert any(name.endswith(('-wal', '-journal')) for name in before)
    for spec in (file.parent, file):
        found, state = stamps(spec)
        assert found == (WHOLE[:40] if mode == 'wal' else WHOLE)
        assert state.startswith('partial: its recorder was killed')
    assert {f.name: f.read_bytes() for f in file.parent.iterdir()} == before


def test_what_is_no_bag_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'the directory has no \.mcap or \.db3 file'):
        BagReader(tmp_path)
    (tmp_path / 'k.mcap').write_bytes(b'')
    with pytest.raises(UserError, match='cannot read bag'):
        BagReader(tmp_path)


@pytest.mark.parametrize(
    ('late', 'said'),
    [
        (0, ''),
        (10**9, ''),
        (12 * 10**9, 'stamps are 12.0 s behind the recording'),
        (-8 * 10**9, 'stamps are 8.0 s ahead of the recording'),
    ],
)
def test_clocks_that_disagree_are_named(tmp_path, late, said):
    messages = map(skeleton_message, people())
    file = chunked_bag(tmp_path / 'k.mcap', SKELETONS, messages, late=late)
    assert stamps(file) == (WHOLE, said)
