"""Work that is too little to share out is done by the thread that asks for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

#: The threads that are in a block of `one_torch_thread`, and the number of threads outside of all
#: blocks. Torch counts for each thread apart, but a new one begins with what any thread said last:
#: one that enters its first block while another is inside would take that one's 1 for its own.
_inside: set[int] = set()
_outside = 1
#: How many threads are in a block of `one_blas_thread`, and what ends the limit: NumPy's library
#: has one number for all.
_limiting = 0
_limit: Any = None
_lock = threading.Lock()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute in this thread alone; nothing where torch is not loaded.

    What decoding computes is too small to share. Threads that helped would wait for more, busily,
    and take the cores from the runtime that sees the next image: two milliseconds of it on two.
    """
    global _outside
    torch = sys.modules.get('torch')
    if torch is None:
        yield
        return
    me = threading.get_ident()
    with _lock:
        nested = me in _inside
        if not _inside:
            _outside = torch.get_num_threads()
        if not nested:
            _inside.add(me)
            torch.set_num_threads(1)
    try:
        yield
    finally:
        if not nested:
            with _lock:
                _inside.remove(me)
                torch.set_num_threads(_outside)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let what multiplies for NumPy compute in one thread, whoever else asks it to meanwhile.

    Five microseconds; on a busy computer, a product of matrices that waits for a second thread
    takes a hundred times as long.
    """
    global _limiting, _limit
    with _lock:
        if not _limiting:
            _limit = _libraries().limit(limits=1, user_api='blas')
        _limiting += 1
    try:
        yield
    finally:
        with _lock:
            _limiting -= 1
            if not _limiting:
                _limit.restore_original_limits()


@lru_cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
