"""Limits of the number of threads, which several blocks ask for at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from action_recognition.threads import one_torch_thread


def test_blocks_of_torch_may_overlap_and_nest():
    def at(pool, call, *args):
        return pool.submit(call, *args).result(timeout=60)

    def numbers():
        with ThreadPoolExecutor(1) as new:
            return [at(pool, torch.get_num_threads) for pool in (first, second, new)]

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
            outer, other, inner = one_torch_thread(), one_torch_thread(), one_torch_thread()
            for pool, block in ((first, outer), (second, other), (second, inner)):
                at(pool, block.__enter__)
                assert at(pool, torch.get_num_threads) == 1
            at(first, outer.__exit__, None, None, None)
            assert numbers() == [2, 1, 2]
            at(second, inner.__exit__, None, None, None)
            assert numbers() == [2, 1, 2]
            at(second, other.__exit__, None, None, None)
            assert numbers() == [2, 2, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_blas_computes_in_one_thread_whichever_thread_asks():
    """One after the other, nested, and at the same time: the second waits for the first."""
    pytest.importorskip('threadpoolctl')
    # In a process of its own: the tests give the libraries one thread from the beginning.
    code = """
from concurrent.futures import ThreadPoolExecutor
import numpy
from threadpoolctl import threadpool_info
from action_recognition.threads import one_blas_thread

def numbers():
    return {pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'}

def inside():
    with one_blas_thread(), one_blas_thread():
        return numbers() or {1}

before = numbers()
with ThreadPoolExecutor(1) as other:
    for _ in range(2):
        assert inside() == {1}
        assert numbers() == before
        assert other.submit(inside).result(timeout=60) == {1}
        assert numbers() == before
    with one_blas_thread():
        waits = other.submit(inside)
        assert inside() == {1}
        assert not waits.done()
    assert waits.result(timeout=60) == {1}
    assert numbers() == before
"""
    two = {**os.environ, 'OMP_NUM_THREADS': '2', 'OPENBLAS_NUM_THREADS': '2'}
    subprocess.run([sys.executable, '-c', code], check=True, env=two)


def test_a_process_without_torch_stays_without_it():
    code = """
import sys
from action_recognition.threads import one_torch_thread
with one_torch_thread():
    pass
assert 'torch' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)
