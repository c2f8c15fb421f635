"""The lives of processes: what is compared, and when it counts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from action_recognition.benchmarking import lives
from action_recognition.benchmarking.lives import Life, Sample


def life(seconds, resident, threads=lambda t: 5, files=lambda t: 9):
    """A life with a sample each second; the rest as functions of time."""
    life = Life('perception', None)
    life.samples = [Sample(t, resident(t), threads(t), files(t)) for t in range(seconds + 1)]
    return life


def test_growth_is_that_after_the_warm_up():
    growth = life(360, lambda t: 50_000 if t < 60 else 100_000).growth()
    assert (growth.seconds, growth.share) == (300, 0)
    assert not growth.is_broken()


def test_growth_is_that_of_the_medians_of_the_first_and_the_last_minute():
    slope = life(360, lambda t: 100_000 + 10 * t).growth()
    first, last = 100_000 + 10 * 90, 100_000 + 10 * 330  # in the middle of each
    assert slope.share == pytest.approx(last / first - 1)
    assert slope.is_broken()
    spikes = life(360, lambda t: 100_000 * (1 + (t % 7 == 0))).growth()
    assert spikes.share == 0


def test_a_short_life_is_shown_but_is_no_verdict():
    growth = life(90, lambda t: 100_000 + 1000 * t).growth()
    assert growth.seconds == 60
    assert growth.share == pytest.approx((100_000 + 80_000) / (100_000 + 40_000) - 1)
    assert not growth.is_broken()
    assert Life('camera', None).growth() is None


@pytest.mark.parametrize('what', ['threads', 'files'])
def test_threads_and_files_may_not_pile_up(what):
    grown = life(360, lambda t: 100_000, **{what: lambda t: 5 + t // 60}).growth()
    assert getattr(grown, what) == 4
    assert grown.is_broken()
    assert what in grown.text()
    assert not life(360, lambda t: 100_000, **{what: lambda t: 5 + t // 180}).growth().is_broken()


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc of Linux')
def test_a_process_is_looked_at_once_in_a_while(monkeypatch):
    code = 'print(flush=True); input()'
    with subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()  # it runs
        life = Life('camera', process)
        life.sample()
        life.sample()
        assert len(life.samples) == 1
        monkeypatch.setattr(lives, 'SAMPLE_INTERVAL', 0.0)
        life.sample()
        assert life.samples[-1].resident > 2**20
        assert life.samples[-1].threads == 1
        assert life.samples[-1].files >= 3
        process.communicate(b'\n')
    life.sample()  # it has ended
    assert len(life.samples) == 2
