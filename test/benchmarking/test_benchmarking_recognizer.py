"""What `benchmark recognizer` measures and gives back; never how long it takes."""

from __future__ import annotations

import pytest

from action_recognition.benchmarking import recognizer
from action_recognition.errors import UserError


def test_rows_of_every_stream_and_number_of_people():
    found = recognizer.run('online_union32', [2, 1], threads=1, rounds=1)
    assert [(row['what'], row['people']) for row in found['rows']] == [
        (what, people) for people in (2, 1) for what in ('update', 'step', 'lstm', 'ddnet')
    ]
    update = found['rows'][0]
    assert update['ratio'] == 1
    assert {key: found[key] for key in ('people', 'ms_median', 'ms_p95', 'fps')} == {
        key: update[key] for key in ('people', 'ms_median', 'ms_p95', 'fps')
    }
    peers = {row['what']: row['ratio'] for row in found['rows'][2:4]}
    assert found['ratio'] == min(peers.values()) == peers[found['peer']]
    assert (found['device'], found['threads']) == ('cpu', 1)


def test_weights_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="no weights named 'nobody'"):
        recognizer.run('nobody', [1], 1)
