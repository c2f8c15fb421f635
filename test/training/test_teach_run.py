"""From a folder of recordings to weights that stream, figures and a report with advice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from teach_recipes import CONFIG, moving

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.evaluation.estimated import JointCache
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.training import teach_run
from action_recognition.training.teach import teach


def write(folder, clips):
    for clip in clips:
        path = folder / f'{clip.name}.npz'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, xy=clip.xy, score=clip.score, stamps=clip.stamps, image_size=clip.image_size)


def test_a_folder_becomes_weights_that_stream_and_a_report(clips, base_path, tmp_path, standing):
    write(tmp_path / 'data', [replace(c, name=f'{c.label}/s{c.group[-1]}a') for c in clips])
    (tmp_path / 'data' / 'wave' / 'broken.npz').write_bytes(b'nothing')
    out = tmp_path / 'out'
    config = replace(CONFIG, base=str(base_path), name='mine')
    found = teach_run.run(tmp_path / 'data', out, config, JointCache(tmp_path), poses=True)
    assert list(found['skipped']) == ['wave/broken']
    header = weights.read_header(out / 'mine.safetensors', 'action')
    assert header.labels == ('nod', 'wave', 'background')
    assert header.metrics['cross_validation_n'] == 10
    assert header.training['clips'] == {'nod': 5, 'wave': 5}
    assert 'mine' in header.licence
    assert json.loads((out / 'figures.json').read_text())['accuracy'] == found['accuracy']
    text = (out / 'report.md').read_text()
    assert 'wave/broken' in text
    assert '| wave | 5 | 5 |' in text
    assert (out / 'confusion.png').is_file()
    recognizer = StreamingRecognizer.from_weights(str(out / 'mine.safetensors'))
    clip = moving(standing, 'wave', 'x', 999)
    for k in range(len(clip)):
        (estimate,) = recognizer.update(clip.poses(k))
    assert recognizer.labels[int(estimate.scores.argmax())] == 'wave'


def test_an_output_folder_that_is_used_is_refused_before_any_work(base_path, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'precious').touch()
    with pytest.raises(UserError, match='out exists: give another folder with --out'):
        teach_run.run(tmp_path / 'nothing', out, CONFIG, JointCache(tmp_path))


def test_advice_tells_why_a_class_was_not_cross_validated(clips, base, standing):
    # The film of both actions joins the smaller of the others: both waves fall into one fold.
    films = [('wave', 'a')] * 3 + [('nod', 'b')] * 4 + [('wave', 'ab'), ('nod', 'ab')]
    films.append(('kick', 'c'))
    few = [
        replace(moving(standing, label, film, k, k), group=film)
        for k, (label, film) in enumerate(films)
    ]
    taught = teach(few, base, CONFIG)
    assert taught.alone == ('kick', 'wave')
    kick, wave = teach_run.advice(taught, few)[:2]
    assert kick.startswith('`kick` has one source only and was not cross-validated')
    assert wave.startswith('`wave` has 2 sources, which show other classes as well and fell into')
