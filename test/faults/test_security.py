"""Nothing is unpickled, evaluated or handed to a shell, and nothing listens on TCP."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ('action_recognition', 'benchmarks', 'launch')
    for path in (ROOT / folder).rglob('*.py')
)
#: Modules that run what they read.
MODULES = {'pickle', 'cPickle', 'dill', 'joblib', 'marshal', 'shelve', 'cloudpickle'}
#: Calls that run what they are given, by the names they are called by.
CALLS = {
    *('eval', 'exec', 'os.system', 'os.popen', 'torch.load', 'torch.hub.load'),
    *(
        'yaml.load',
        'yaml.unsafe_load',
        'yaml.full_load',
        'yaml.load_all',
        'np.lib.format.read_array',
    ),
    *('subprocess.getoutput', 'subprocess.getstatusoutput'),
}


def name_of(node):
    if isinstance(node, ast.Attribute):
        return f'{name_of(node.value)}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def dangers(source):
    """(line, what) of everything in a source that could run data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or '').partition('.')[0]}
        else:
            names = set()
        for name in names & MODULES:
            yield node.lineno, f'import {name}'
        if isinstance(node, ast.Call):
            if (name := name_of(node.func)) in CALLS:
                yield node.lineno, name
            for keyword in node.keywords:
                if keyword.arg in ('shell', 'allow_pickle') and not (
                    isinstance(keyword.value, ast.Constant) and not keyword.value.value
                ):
                    yield node.lineno, f'{keyword.arg}='


@pytest.mark.parametrize(
    'source',
    [
        'import pickle',
        'from joblib import load',
        'eval(x)',
        'exec(x)',
        'os.system(x)',
        'torch.load(x, weights_only=True)',
        'yaml.load(x, Loader=L)',
        'np.load(x, allow_pickle=True)',
        'np.load(x, allow_pickle=flag)',
        'subprocess.run(x, shell=True)',
    ],
)
def test_the_search_finds(source):
    assert len(list(dangers(source))) == 1


def test_the_search_passes_over_what_is_safe():
    safe = (
        'yaml.safe_load(x)\nnp.load(x)\nmodel.eval()\nsubprocess.run(x, shell=False)\nimport json'
    )
    assert list(dangers(safe)) == []


def test_nothing_runs_data():
    assert len(SOURCES) > 100
    found = [(p.name, *d) for p in SOURCES for d in dangers(p.read_text(encoding='utf-8'))]
    assert found == []


def tcp_listeners(pid):
    """Addresses in /proc/net/tcp of the TCP sockets on which a process listens."""
    sockets = set()
    for entry in Path(f'/proc/{pid}/fd').iterdir():
        try:
            sockets.add(str(entry.readlink()))
        except FileNotFoundError:
            continue
    lines = []
    for table in ('tcp', 'tcp6'):
        lines += Path(f'/proc/{pid}/net/{table}').read_text().splitlines()[1:]
    listening = '0A'
    rows = (line.split() for line in lines)
    return [row[1] for row in rows if row[3] == listening and f'socket:[{row[9]}]' in sockets]


@pytest.mark.skipif(not Path('/proc/net/tcp').exists(), reason='needs /proc of Linux')
def test_the_search_sees_a_listener():
    code = 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(flush=True); input()'
    with subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert len(tcp_listeners(process.pid)) == 1
        process.communicate(b'\n')


@pytest.mark.usefixtures('no_shared_memory')
@pytest.mark.skipif(not Path('/proc/net/tcp').exists(), reason='needs /proc of Linux')
def test_nodes_do_not_listen_on_tcp(graph, child_environment):
    """The composed graph holds all but behavior; DDS itself uses UDP and shared memory."""
    from diagnostic_msgs.msg import DiagnosticArray

    names = set()
    reports = graph.collect(DiagnosticArray, '/diagnostics', 10)
    command = [sys.executable, '-m', 'action_recognition.cli', 'run', 'pipeline']
    command += ['-p', 'source:=topic', '-p', 'runtime:=torch']
    with subprocess.Popen(command, env=child_environment()) as process:
        try:

            def active():
                names.update(r.status[0].name for r in reports)
                return names >= {'/camera', '/perception', '/recognizer'}

            graph.until(active)
            assert tcp_listeners(process.pid) == []
        finally:
            process.kill()
