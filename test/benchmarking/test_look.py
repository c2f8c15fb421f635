"""The command that compares ways of looking, `benchmarks/look.py`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from action_recognition.pose.decode import People
from action_recognition.pose.gaze import LookConfig
from action_recognition.skeleton import NUM_JOINTS, Poses

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'look.py'
#: 14 joints spread over a box of 40 x 80 pixels.
BODY = np.stack([np.tile([0, 20, 40, 40, 40, 0, 0], 2), np.linspace(0, 80, 14)], 1)


@pytest.fixture(scope='module')
def look():
    """The module `benchmarks/look.py`."""
    spec = importlib.util.spec_from_file_location('benchmarks_look', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def clip_of(look, frames=4):
    """A white box of 41 x 81 pixels that walks, one person; the first frame is not labelled."""
    images, truth = [], []
    for i in range(frames):
        image = np.zeros((160, 200, 3), np.uint8)
        image[30:111, 60 + 2 * i : 101 + 2 * i] = 255
        images.append(image)
        truth.append(BODY + np.array([60 + 2 * i, 30]))
    xy = np.array(truth, np.float32)
    xy[0] = np.nan
    return look.Clip(images, xy, 'walk')


class WhiteBox:
    """The person is the box of the white pixels."""

    def people(self, images):
        return [self._find(image) for image in images]

    def estimate(self, image, stamp=0):
        return Poses(*self._find(image), stamp=stamp, image_size=image.shape[1::-1])

    def _find(self, image):
        y, x = np.nonzero(image[..., 0] > 200)
        corner, far = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
        xy = corner + BODY / (40, 80) * (far - corner)
        return People(xy[None].astype(np.float32), np.full((1, NUM_JOINTS), 0.9, np.float32))


@pytest.mark.parametrize('room', [1, 2, 3])
def test_room_moves_the_truth_along(look, room):
    clip = look.with_room(clip_of(look), room)
    for image, truth in zip(clip.images[1:], clip.xy[1:], strict=True):
        assert image.shape == (160 * room, 200 * room, 3)
        y, x = np.nonzero(image[..., 0] == 255)
        assert (x.min(), y.min(), x.max(), y.max()) == (*truth.min(0), *truth.max(0))


@pytest.mark.parametrize(('mode', 'crops', 'full'), [('full', 0, 1), ('crops', 0.75, 0.25)])
def test_figures_of_a_way(look, monkeypatch, mode, crops, full):
    monkeypatch.setattr(look, 'create_estimator', lambda *args: WhiteBox())
    tally = look.Tally(look.Way('it', look=LookConfig(mode, full_every=99)), 'pose', 'cpu')
    for _ in range(2):
        tally.play(clip_of(look))
    figures = tally.figures()
    assert (figures['pck'], figures['tracked'], figures['people'], figures['ids']) == (1, 1, 1, 1)
    assert (figures['crops'], figures['full']) == (crops, full)
    assert figures['kilopixels'] == (crops * LookConfig.crop_size**2 + full * 224**2) / 1e3
    assert figures['frames'] == 6  # those that are labelled
    assert figures['ms_mean'] > 0
    assert '| it |' in look.markdown([{'set': 's', 'room': 1} | figures], look.COLUMNS)


def test_joints_off_by_a_torso_are_wrong(look, monkeypatch):
    monkeypatch.setattr(look, 'create_estimator', lambda *args: WhiteBox())
    tally = look.Tally(look.Way('it'), 'pose', 'cpu')
    clip = clip_of(look)
    tally.play(clip._replace(xy=clip.xy + np.array([15, 0], np.float32)))
    assert tally.figures()['pck'] == 0
    assert tally.figures()['tracked'] == 1


def test_gain_over_the_same_joints(look):
    rng = np.random.default_rng(3)
    right, against = (rng.random((40, 12)) < [[part]] for part in (0.9, 0.5))
    labelled = rng.random((40, 12)) < 0.7
    right, against = (np.where(labelled, part, np.nan) for part in (right, against))
    groups = [f'video {i // 4}' for i in range(40)]
    figures = look.gain(right, against, groups)
    assert figures['gain'] == pytest.approx(np.nanmean(right) - np.nanmean(against))
    assert 0 < figures['gain_low'] < figures['gain'] < figures['gain_high'] < 0.6
    # The spread over sources that the theory of ratios expects.
    counts = labelled.reshape(10, -1).sum(1)
    rest = np.nansum((right - against).reshape(10, -1), 1) - figures['gain'] * counts
    deviation = np.sqrt((rest**2).sum()) / counts.sum()
    width = figures['gain_high'] - figures['gain_low']
    assert width == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    unlabelled = np.full((1, 12), np.nan)
    both = [np.vstack([part, unlabelled]) for part in (right, against)]
    assert look.gain(*both, [*groups, 'no torso']) == figures
    same = look.gain(against, against, groups)
    assert (same['gain'], same['gain_low'], same['gain_high']) == (0, 0, 0)


def test_frames_of_one_source_are_drawn_together(look):
    """Two videos, one all better and one all worse: nobody knows which way is better."""
    right = np.repeat([[1.0], [0.0]], 50, 0)
    alone = look.gain(right, 1 - right, [str(i) for i in range(100)])
    together = look.gain(right, 1 - right, ['a'] * 50 + ['b'] * 50)
    assert (together['gain_low'], together['gain_high']) == (-1, 1)
    assert -0.3 < alone['gain_low'] < 0 < alone['gain_high'] < 0.3


def test_the_person_scored_is_the_one_most_like_the_truth(look):
    xy = np.array([(90, 0), (2, 1), (30, 0)])[:, None] + BODY
    people = Poses(xy, np.full((3, NUM_JOINTS), 0.5), np.array([4, 7, 9]))
    best, track_id = look.most_alike(people, BODY.astype(np.float32))
    np.testing.assert_array_equal(best, people.xy[1])
    assert track_id == 7
    best, track_id = look.most_alike(Poses.empty(), BODY.astype(np.float32))
    assert np.isnan(best).all()
    assert track_id is None


def test_ways_by_name(look):
    assert [way.name for way in look.chosen('crops128,full224')] == ['crops128', 'full224']
    with pytest.raises(argparse.ArgumentTypeError, match=r'squint; known: full128, .*crops128'):
        look.chosen('full224,squint')
    assert len({way.name for way in look.WAYS}) == len(look.WAYS)


def test_clips_of_the_data_sets(look, data_root):
    (clip,) = look.lspet_clips(data_root / 'lspet', 1)
    assert len(clip.images) == look.LOOKS == len(clip.xy)
    assert np.isnan(clip.xy[:-1]).all() and np.isfinite(clip.xy[-1]).any()
    (clip,) = look.jhmdb_clips(data_root / 'jhmdb', 1)
    assert len(clip.images) == len(clip.xy)
    assert clip.images[0].shape == (240, 320, 3)
