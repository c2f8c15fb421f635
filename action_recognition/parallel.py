"""Work on many recordings at once: processes of this machine, or a Ray cluster of several."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from action_recognition.errors import UserError

Item = TypeVar('Item')
Result = TypeVar('Result')

#: Recordings given out at a time for each one that can be worked on: the next is always at hand,
#: and results that nobody has taken yet do not pile up.
AHEAD = 2
#: Starts a Ray of its own on this machine, and ends it with the work.
LOCAL = 'local'


def map_recordings(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int = 1,
    ray: str = '',
    *,
    gpus: float = 0.0,
    what: str = 'recordings',
) -> Iterator[tuple[int, Result]]:
    """What a function makes of each recording, as soon as it is known.

    Who keeps each result as it comes can be killed and go on later with the items that are left.
    The order of the results depends on who is done first; what they are does not.

    Args:
        function: of one item. With `jobs` or `ray` it runs in other processes, so it must be
            found there by name (a function of a module, `functools.partial` of one, a method of a
            dataclass), and what it needs for longer than one item it keeps in its module.
        items: such as paths. Other machines must find the files under the same paths.
        jobs: processes of this machine; 1 = this one.
        ray: address of a Ray cluster, 'auto' for the one this machine is part of, or 'local' for
            one of `jobs` processes that ends with the work; empty: without Ray. A recording whose
            machine is lost is given to another.
        gpus: share of a GPU that a worker of Ray needs, for those that compute on one.
        what: the recordings are called on the progress bar.

    Yields:
        (index into `items`, result).

    Raises:
        UserError: `jobs` is not positive, Ray is not installed or does not answer, or `function`
            raised it: what was not begun is given up.
    """
    if jobs < 1:
        raise UserError(f'--jobs must be at least 1, not {jobs}')
    if ray:
        results = _by_ray(function, items, jobs, ray, gpus)
    elif jobs > 1 and len(items) > 1:
        results = _by_processes(function, items, min(jobs, len(items)))
    else:
        results = ((index, function(item)) for index, item in enumerate(items))
    yield from tqdm(results, total=len(items), desc=what, unit='file', disable=None)


def _by_processes(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Iterator[tuple[int, Result]]:
    threads = max((os.cpu_count() or 1) // jobs, 1)
    # A fork would copy locks that threads of PyTorch and OpenCV hold.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(jobs, context, _limit_threads, (threads,)) as pool:
        left = iter(enumerate(items))
        running: dict[Future[Result], int] = {}
        try:
            while True:
                for index, item in itertools.islice(left, AHEAD * jobs - len(running)):
                    running[pool.submit(function, item)] = index
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise UserError(
                'a process was killed, for want of memory perhaps: go on with fewer --jobs'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _limit_threads(threads: int) -> None:
    """Before anything reads it: so many processes share the cores."""
    os.environ.setdefault('OMP_NUM_THREADS', str(threads))


def _by_ray(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, address: str, gpus: float
) -> Iterator[tuple[int, Result]]:
    engine = _connect(address, jobs)
    try:
        workers = max(int(engine.cluster_resources().get('CPU', 1)), 1)
        work = engine.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(_call)
        # Whatever it holds is sent once, not with every recording.
        shared = engine.put(function)
        left = iter(enumerate(items))
        running: dict[Any, int] = {}
        while True:
            for index, item in itertools.islice(left, AHEAD * workers - len(running)):
                running[work.remote(shared, item)] = index
            if not running:
                return
            (done, *_), _ = engine.wait(list(running), num_returns=1)
            try:
                result = engine.get(done)
            except engine.exceptions.RayTaskError as error:
                raise _reason(error) from error
            except engine.exceptions.RayError as error:
                raise UserError(f'Ray lost a recording: {_first_line(error)}') from error
            yield running.pop(done), result
    finally:
        engine.shutdown()


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _connect(address: str, jobs: int) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError('--ray needs Ray: pip install ray') from error
    # Ray takes the dashboard and reports of use for granted; nobody asked for them here.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    options: dict[str, Any] = {'log_to_driver': False, 'logging_level': 'error'}
    if address == LOCAL:
        options |= {'num_cpus': jobs, 'include_dashboard': False}
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f'no Ray answers at {address!r} ({_first_line(error)}); start one with `ray start '
            f"--head`, or give '{LOCAL}'"
        ) from error
    return ray


def _reason(error: Any) -> Exception:
    """What the function raised, rather than how Ray tells of it."""
    if isinstance(error.cause, UserError):
        return error.cause
    if 'No module named' in str(error):  # of the function, or within it
        line = next(line for line in str(error).splitlines() if 'No module named' in line)
        return UserError(
            f'a machine of the cluster lacks something ({line.strip()}): install the same version '
            'of this package on all of them'
        )
    return error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of commands that work on many recordings."""
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='processes of this machine (default: 1)'
    )
    parser.add_argument(
        '--ray',
        default='',
        metavar='ADDRESS',
        help="spread the recordings over a Ray cluster: auto, an address, or 'local'; needs "
        '`pip install ray`',
    )
