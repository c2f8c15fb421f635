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
_lock = threading.Lock()
#: NumPy's library has one number of threads for all: two who change it at a time would take each
#: other's number for what it was.
_one_limits = threading.RLock()


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

    It costs some microseconds. A second thread would wait for more, busily, and on a busy computer
    a product that waits for it takes a hundred times as long. Blocks of several threads wait for
    each other.
    """
    # Left as a context: until then threadpoolctl lets no other thread change the number.
    with _one_limits, _libraries().limit(limits=1, user_api='blas'):
        yield


@lru_cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
