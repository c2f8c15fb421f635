"""The lives of processes: memory, threads and open files over time, and whether they grow."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

#: Share by which a process may grow after its warm-up, and threads and open files it may gain.
GROWTH, GAIN = 0.01, 2
#: Seconds at the begin of a life that do not count, of its windows that are compared, and that
#: must be seen for a verdict. Of a short life a third each.
WARM_UP, WINDOW, LONG = 60.0, 60.0, 120.0
#: Seconds between two looks at a process.
SAMPLE_INTERVAL = 1.0
PAGE = os.sysconf('SC_PAGE_SIZE')


@dataclass
class Sample:
    """One look at a process.

    Attributes:
        time: seconds of its life.
        resident: bytes.
    """

    time: float
    resident: int
    threads: int
    files: int


@dataclass
class Growth:
    """What became of a process after its warm-up, from its first window to its last.

    Attributes:
        seconds: from the warm-up to the end.
        share: of median resident memory.
        threads, files: of their medians.
    """

    seconds: float
    share: float
    threads: float
    files: float

    @property
    def percent(self) -> float:
        """`share` in percent."""
        return 100 * self.share

    def is_broken(self) -> bool:
        """Whether it was seen for long enough and grew by more than is promised."""
        return self.seconds >= LONG and (
            self.share > GROWTH or self.threads > GAIN or self.files > GAIN
        )

    def text(self) -> str:
        """In words."""
        return (
            f'grew by {self.percent:.2f} %, {self.threads:+g} threads and {self.files:+g} files '
            f'in {self.seconds:.0f} s'
        )


@dataclass
class Life:
    """One process from its start to its end."""

    name: str
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)

    def sample(self) -> None:
        """Look at the process, if that was not done just now."""
        now = time.monotonic() - self.began
        if self.samples and now - self.samples[-1].time < SAMPLE_INTERVAL:
            return
        proc = Path(f'/proc/{self.process.pid}')
        try:
            resident = int((proc / 'statm').read_text().split()[1]) * PAGE
            threads, files = (sum(1 for _ in (proc / part).iterdir()) for part in ('task', 'fd'))
        except (OSError, ValueError, IndexError):  # it has just ended
            return
        self.samples.append(Sample(now, resident, threads, files))

    def growth(self) -> Growth | None:
        """Medians of the last window beside those of the first; None of a life without any."""
        if not self.samples:
            return None
        end = self.samples[-1].time
        warm_up = min(WARM_UP, end / 3)
        window = min(WINDOW, (end - warm_up) / 3)
        first = [s for s in self.samples if warm_up <= s.time <= warm_up + window]
        last = [s for s in self.samples if s.time >= end - window]
        if not first:
            return None

        def gain(of: str) -> tuple[float, float]:
            before, after = (statistics.median(getattr(s, of) for s in w) for w in (first, last))
            return after - before, after / before - 1

        return Growth(end - warm_up, gain('resident')[1], gain('threads')[0], gain('files')[0])
