"""`evaluate video` on made-up videos, from the joints that a cache holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation import video
from action_recognition.evaluation.action import clip_logits
from action_recognition.pose.estimator import EstimatorConfig
from action_recognition.recognition.models import OnlineRecognizer

LABELS = ('run', 'sit', 'wave')


class Known:
    """A cache whose videos were all looked at; nobody is in those whose name ends with 0."""

    pose = 'pose'

    def __init__(self, backend='ours'):
        self.asked = []
        self.config = EstimatorConfig(backend=backend)

    def clips(self, videos):
        self.asked = videos
        return [self.clip(v) for v in videos]

    @staticmethod
    def clip(v):
        rng = np.random.default_rng(len(v.name) + ord(v.name[-1]))
        seen = not v.name.endswith('0')
        xy = rng.uniform(0, 100, (9, 14, 2)) if seen else np.full((9, 14, 2), np.nan)
        return SkeletonClip(
            v.name,
            v.label,
            v.group,
            xy.astype(np.float32),
            np.full((9, 14), float(seen), np.float32),
            np.arange(9) * 10**8,
            (100, 100),
        )


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / 'model.safetensors'
    settings = {'units': 8, 'layers': 1}
    header = weights.Header(
        kind='action', name='tiny', config={'model': 'online', **settings}, labels=LABELS
    )
    weights.save(path, OnlineRecognizer(3, **settings).state_dict(), header)
    return str(path)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_videos_where_nobody_is_found_are_named_and_count_as_wrong(model, tmp_path):
    names = [f'{label}/{k}.mp4' for label in ('sit', 'wave') for k in range(4)]
    cache = Known()
    found = video.run(folder(tmp_path / 'mine', *names), [model], cache)
    assert found['set'] == 'mine'
    assert found['n'] == 8
    assert found['classes'] == 2
    assert found['detected_fraction'] == 0.75
    assert found['not_detected'] == ['sit/0', 'wave/0']
    # The model's own answers, among the two classes that compete.
    network = OnlineRecognizer(3, units=8, layers=1).eval()
    weights.restore(network, weights.load(Path(model), 'action')[1], Path(model))
    clips = [Known.clip(v) for v in cache.asked]
    answers = [LABELS[1 + int(a[-1, 1:].argmax())] for a in clip_logits(network, clips)]
    right = [
        answer == clip.label and not clip.name.endswith('0')
        for answer, clip in zip(answers, clips, strict=True)
    ]
    assert found['accuracy'] == pytest.approx(np.mean(right))
    assert 'pose_trained_on_fraction' not in found


def test_unknown_action_is_refused_before_anything_is_looked_for(model, tmp_path):
    cache = Known()
    with pytest.raises(UserError, match='does not know juggle'):
        video.run(folder(tmp_path / 'mine', 'juggle/1.mp4', 'sit/1.mp4'), [model], cache)
    assert cache.asked == []


def test_official_split_of_jhmdb_and_how_much_of_it_taught_the_pose_network(tmp_path, monkeypatch):
    torch.manual_seed(0)
    root = tmp_path / 'jhmdb'
    clips = ('a_wave_x_0', 'b_wave_x_1', 'c_wave_x_2', 'd_wave_x_3')
    parts = {1: '1122', 2: '2211', 3: '1212'}
    (root / 'splits').mkdir(parents=True)
    for label in video.jhmdb.CLASSES:
        for split, sides in parts.items():
            lines = [
                f'{clip}.avi {side}\n'
                for clip, side in zip(clips, sides, strict=True)
                if label == 'wave'
            ]
            (root / 'splits' / f'{label}_test_split{split}.txt').write_text(''.join(lines))
    folder(root / 'ReCompress_Videos', *(f'wave/{clip}.mp4' for clip in clips))
    path = tmp_path / 'model.safetensors'
    settings = {'units': 8, 'layers': 1}
    header = weights.Header(
        kind='action',
        name='tiny',
        config={'model': 'online', **settings},
        labels=video.jhmdb.CLASSES,
    )
    weights.save(path, OnlineRecognizer(21, **settings).state_dict(), header)
    shares = {}
    for split in parts:
        cache = Known()
        found = video.run(root, [str(path)], cache, split)
        want = [f'wave/{c}' for c, side in zip(clips, parts[split], strict=True) if side == '2']
        assert [v.name for v in cache.asked] == want
        assert (found['set'], found['classes'], found['split']) == ('jhmdb21', 21, split)
        shares[split] = found['pose_trained_on_fraction']
    assert shares == {1: 0, 2: 1, 3: 0.5}
    others = video.run(root, [str(path)], Known('rtmlib'))
    assert others['backend'] == 'rtmlib'
    assert 'pose_trained_on_fraction' not in others
