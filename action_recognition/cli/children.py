"""Processes that end with this one, and that say why when they end before."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from action_recognition.closing import Closing
from action_recognition.errors import UserError

#: Seconds to end after SIGINT; a node that loads a model answers late.
PATIENCE = 10.0
#: Of a log, quoted when its process ends.
LAST_LINES = 3
#: From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
#: What `rcutils` puts before each line of a log.
LOG_PREFIX = re.compile(r'^\[\w+\] \[[\d.]+\] \[[^\]]*\]: ')


class Children(Closing):
    """Commands of this package running side by side; a context manager.

    They do not get the Ctrl-C of the terminal: leaving the block ends them, however it is left.

    Args:
        logs: directory for one log file each.
        environment: variables added to those of this process.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, arguments: Sequence[str], module: str = 'action_recognition.cli'
    ) -> None:
        """Run `action-recognition ARGUMENTS`, or another module, with a log of this name."""
        with self._log(name).open('wb') as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == 'linux' else None,
            )

    def check(self) -> None:
        """Make sure that all of them still run.

        Raises:
            UserError: one has ended; the message says how and quotes the end of its log.
        """
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                raise UserError(f'{name} ended with code {code}: {self.last_words(name)}')

    def pids(self) -> list[int]:
        """Numbers of the processes."""
        return [process.pid for process in self._processes.values()]

    def last_words(self, name: str) -> str:
        """The last lines of the log as one, and where to find the rest."""
        path = self._log(name)
        text = path.read_text('utf-8', 'replace')
        lines = [LOG_PREFIX.sub('', line.strip()) for line in text.splitlines() if line.strip()]
        return f'{" | ".join(lines[-LAST_LINES:]) or "no output"} (log: {path})'

    def close(self) -> None:
        """End them all, gently first."""
        running = [p for p in self._processes.values() if p.poll() is None]
        for process in running:
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _log(self, name: str) -> Path:
        return self._logs / f'{name}.log'


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed, which leaves no time to tidy up."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
