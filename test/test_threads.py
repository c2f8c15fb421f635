"""Limits of the number of threads, which several blocks ask for at the same time."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from action_recognition.threads import one_blas_thread, one_torch_thread


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


def test_blocks_of_blas_may_overlap_and_nest():
    threadpoolctl = pytest.importorskip('threadpoolctl')

    def numbers():
        return {
            pool['num_threads']
            for pool in threadpoolctl.threadpool_info()
            if pool['user_api'] == 'blas'
        }

    if not numbers():
        pytest.skip('NumPy multiplies by a library that is not known')
    with threadpoolctl.threadpool_limits(2, 'blas'):
        before = numbers()
        one, two = one_blas_thread(), one_blas_thread()
        one.__enter__()
        assert numbers() == {1}
        two.__enter__()
        one.__exit__(None, None, None)
        assert numbers() == {1}
        two.__exit__(None, None, None)
        assert numbers() == before
        with one_blas_thread():
            assert numbers() == {1}
        assert numbers() == before


def test_a_process_without_torch_stays_without_it():
    code = """
import sys
from action_recognition.threads import one_torch_thread
with one_torch_thread():
    pass
assert 'torch' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)
