"""One process, several, and Ray give the same results, keep what is done, and pass errors on."""

from __future__ import annotations

import functools
import importlib
import os
import sys

import pytest

from action_recognition import parallel
from action_recognition.errors import UserError
from action_recognition.parallel import map_recordings

ITEMS = [3, 1, 4, 1, 5, 9, 2, 6]


#: Other processes find functions by name, and none of the test's own modules.
FUNCTIONS = """
import os, signal
from action_recognition.errors import UserError

def square(number):
    return number * number, os.getpid()

def not_nine(number):
    if number == 9:
        raise UserError('nine cannot be read')
    return number, os.getpid()

def keep(folder, number):
    (folder / str(number)).touch()
    return number

def die(_):
    os.kill(os.getpid(), signal.SIGKILL)

def threads(_):
    return os.environ['OMP_NUM_THREADS']
"""


@pytest.fixture(scope='module')
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp('functions')
    (folder / 'recording_functions.py').write_text(FUNCTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv('PYTHONPATH', str(folder), prepend=os.pathsep)  # for workers of Ray
        yield importlib.import_module('recording_functions')


def collect(function, items=ITEMS, **options):
    found = dict(map_recordings(function, items, **options))
    return [found[index] for index in range(len(items))]


def test_one_process_is_this_one_and_keeps_the_order(functions):
    found = list(map_recordings(functions.square, ITEMS))
    assert found == [(k, (n * n, os.getpid())) for k, n in enumerate(ITEMS)]


def test_the_next_recording_is_begun_only_when_the_result_was_taken():
    begun = []
    results = map_recordings(begun.append, ITEMS)
    next(results)
    assert begun == ITEMS[:1]


def test_processes_give_the_results_of_one(functions):
    found = collect(functions.square, jobs=2)
    assert [result for result, _ in found] == [n * n for n in ITEMS]
    assert os.getpid() not in {pid for _, pid in found}


def test_processes_share_the_cores(functions, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: 6)
    assert collect(functions.threads, jobs=2) == ['3'] * len(ITEMS)


@pytest.mark.parametrize('jobs', [1, 2])
def test_an_error_of_the_function_is_the_error_of_the_run(functions, jobs):
    with pytest.raises(UserError, match='nine cannot be read'):
        collect(functions.not_nine, jobs=jobs)


def test_a_killed_process_is_one_clear_error(functions):
    with pytest.raises(UserError, match='fewer --jobs'):
        collect(functions.die, jobs=2)


def test_what_was_taken_before_a_stop_is_not_done_again(functions, tmp_path):
    results = map_recordings(functools.partial(functions.keep, tmp_path), ITEMS, jobs=2)
    next(results)
    results.close()
    # Given out were at most those at hand, never the whole archive.
    assert len(list(tmp_path.iterdir())) <= 2 * parallel.AHEAD + 2


@pytest.mark.parametrize('jobs', [0, -2])
def test_jobs_must_be_positive(functions, jobs):
    with pytest.raises(UserError, match='--jobs must be at least 1'):
        collect(functions.square, jobs=jobs)


def test_nothing_to_do_is_no_error(functions):
    assert collect(functions.square, []) == collect(functions.square, [], jobs=4) == []


def test_ray_gives_the_results_of_one_process_and_passes_errors_on(functions):
    """One test, because a Ray takes seconds to start."""
    pytest.importorskip('ray', reason='Ray is not installed')
    items, found = [n for n in ITEMS if n != 9] * 2 + [9], {}
    with pytest.raises(UserError, match=r'^nine cannot be read$'):
        for index, (number, pid) in map_recordings(functions.not_nine, items, 2, 'local'):
            assert number == items[index]
            assert pid != os.getpid()
            found[index] = number
    # Nine was given out with no more than the others at hand still to come.
    assert len(found) >= len(items) - 2 * parallel.AHEAD


@pytest.mark.parametrize(
    ('raised', 'said'),
    [
        (ConnectionError('nobody there\nand a long story'), r"no Ray answers at 'auto' \(nobody"),
        (ValueError('no such address'), 'start one with `ray start --head`'),
    ],
)
def test_no_ray_at_an_address_is_one_clear_error(functions, monkeypatch, raised, said):
    ray = pytest.importorskip('ray', reason='Ray is not installed')

    def nobody(*_, **__):
        raise raised

    monkeypatch.setattr(ray, 'init', nobody)
    with pytest.raises(UserError, match=said):
        collect(functions.square, ray='auto')


def test_without_ray_the_error_says_how_to_install_it(functions, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(UserError, match=r'needs Ray: pip install ray$'):
        collect(functions.square, ray='local')
