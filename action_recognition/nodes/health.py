"""What a node tells `/diagnostics`: counts, rates, stage times and the last problem."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from action_recognition.nodes.trace import Trace

#: Seconds between two log lines about the same kind of problem.
LOG_INTERVAL = 5.0
#: Seconds without input after which a running node warns.
INPUT_TIMEOUT = 5.0
#: Seconds in which input comes and nothing comes of it, after which the node has failed.
OUTPUT_TIMEOUT = 5.0
#: Counters of input that was dealt with as it should be.
ANSWERED = frozenset({'processed', 'repeated', 'published', 'skipped'})


class Health:
    """Counters and timings of one node; every method may be called from any thread.

    Args:
        clock: seconds that never run backwards.

    Attributes:
        trace: where every turn of every stage is written as well; None: nowhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._facts: dict[str, str] = {}
        self._times: defaultdict[str, list[float]] = defaultdict(list)
        self._logged: dict[str, float] = {}
        self._last_input: float | None = None
        self._last_output: float | None = None
        self._unanswered: float | None = None  # since when input has come and no output
        self._problem = ''
        self._problem_at = -math.inf
        self._problem_is_new = False
        self._failure = ''
        self._note = ''
        self._reported_at = clock()
        self._reported_input = 0
        self._frame = threading.local()
        self.expects_input = False
        self.trace: Trace | None = None

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter; those in `ANSWERED` say that the node does its work."""
        with self._lock:
            self._counts[what] += number
            if what in ANSWERED:
                self._last_output, self._unanswered = self._clock(), None

    def received(self) -> None:
        """An input arrived: counts as 'received', feeds rate and age."""
        with self._lock:
            self._counts['received'] += 1
            self._last_input = self._clock()
            if self._unanswered is None:
                self._unanswered = self._last_input

    def counted(self, what: str) -> int:
        """The state of a counter."""
        with self._lock:
            return self._counts[what]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time the block as one turn of this stage, of the image of the `frame` around it."""
        begin = time.monotonic_ns()
        yield
        end = time.monotonic_ns()
        self.took(stage, (end - begin) * 1e-9)
        if trace := self.trace:
            trace.span(stage, begin, end, self._stamp())

    @contextmanager
    def frame(self, stamp: int, topic: str = '') -> Iterator[None]:
        """The block works on the image of this stamp (ns): what it times and sends is of that.

        Args:
            topic: of the message that brought the image or what was found in it.
        """
        trace = self.trace
        if not trace:
            yield
            return
        outer, self._frame.stamp = self._stamp(), stamp
        begin = time.monotonic_ns()
        try:
            if topic:
                trace.came(topic, begin, stamp)
            yield
        finally:
            self._frame.stamp = outer
            trace.span('frame', begin, time.monotonic_ns(), stamp)

    def sent(self, topic: str) -> None:
        """What the block of `frame` says of its image goes out by this topic."""
        trace, stamp = self.trace, self._stamp()
        if trace and stamp is not None:
            trace.sent(topic, time.monotonic_ns(), stamp)

    def waited(self, since: int, until: int, stamp: int) -> None:
        """The image of this stamp was in the queue from and to then (ns, monotonic clock)."""
        self.took('queue', (until - since) * 1e-9)
        if trace := self.trace:
            trace.wait('queue', since, until, stamp)

    def _stamp(self) -> int | None:
        """Of the frame that this thread works on."""
        return getattr(self._frame, 'stamp', None)

    def took(self, stage: str, seconds: float) -> None:
        """One turn of this stage took so long."""
        with self._lock:
            self._times[stage].append(seconds)

    def fact(self, key: str, value: str) -> None:
        """Something that stays, such as the device."""
        with self._lock:
            self._facts[key] = value

    def problem(self, kind: str, text: str) -> bool:
        """Note a problem that the node survives; True when it is time to log this kind again."""
        with self._lock:
            now = self._clock()
            self._problem, self._problem_at, self._problem_is_new = text, now, True
            if now - self._logged.get(kind, -LOG_INTERVAL) < LOG_INTERVAL:
                return False
            self._logged[kind] = now
            return True

    def begin(self) -> None:
        """The node begins anew: it has not failed, and no input waits for an answer."""
        with self._lock:
            self._failure, self._unanswered = '', None

    def failed(self, text: str) -> None:
        """Note that the node cannot do its work, or with an empty text that it can."""
        with self._lock:
            self._failure = text

    def note(self, text: str) -> None:
        """What the node is doing instead of running, such as 'finished'; empty: running."""
        with self._lock:
            self._note = text

    def report(self, name: str, state: str) -> DiagnosticStatus:
        """The state of affairs; rates and times are those since the last report."""
        with self._lock:
            now = self._clock()
            elapsed = max(now - self._reported_at, 1e-9)
            received = self._counts['received']
            values = {'state': state, **self._facts}
            values['rate_hz'] = f'{(received - self._reported_input) / elapsed:.1f}'
            for way, last in (('input', self._last_input), ('output', self._last_output)):
                values[f'last_{way}_age_s'] = 'never' if last is None else f'{now - last:.1f}'
            values.update((what, str(number)) for what, number in sorted(self._counts.items()))
            for stage, times in sorted(self._times.items()):
                values[f'{stage}_ms_mean'] = f'{1e3 * sum(times) / len(times):.2f}'
                values[f'{stage}_ms_max'] = f'{1e3 * max(times):.2f}'
            values['last_problem'] = self._problem
            level, message = self._verdict(state, now)
            self._times.clear()
            self._reported_at, self._reported_input = now, received
            self._problem_is_new = False
        return DiagnosticStatus(
            level=level,
            name=name,
            message=message,
            hardware_id=values.get('device', ''),
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def _verdict(self, state: str, now: float) -> tuple[bytes, str]:
        if self._failure:
            return DiagnosticStatus.ERROR, self._failure
        watched = state == 'active' and self.expects_input
        if watched and (silence := self._silence(now)):
            return DiagnosticStatus.ERROR, silence
        if self._problem_is_new:
            return DiagnosticStatus.WARN, self._problem
        if state != 'active':
            return DiagnosticStatus.OK, state
        if self._note:
            return DiagnosticStatus.OK, self._note
        if watched and self._last_input is None:
            return DiagnosticStatus.WARN, 'no input yet'
        if watched and self._last_input is not None and now - self._last_input > INPUT_TIMEOUT:
            return DiagnosticStatus.WARN, f'no input for {now - self._last_input:.0f} s'
        return DiagnosticStatus.OK, 'running'

    def _silence(self, now: float) -> str:
        """That nothing comes of the input, be it that work on it hangs or that it always fails."""
        since, last = self._unanswered, self._last_input
        # By the last input, not by now: a single one that failed is no fault of the node.
        if since is None or last is None or last - since <= OUTPUT_TIMEOUT:
            return ''
        reason = f': {self._problem}' if self._problem_at >= since else ''
        return f'input comes, but no output for {now - since:.0f} s{reason}'
