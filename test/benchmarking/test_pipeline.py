"""The benchmark of the running graph: figures against plain ones, scenes against their layout."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

import rclpy
from std_msgs.msg import Header

from action_recognition.benchmarking import pipeline, pipeline_scenes
from action_recognition.benchmarking.pipeline import GRAPHS, Arrivals, account, summary, used
from action_recognition.benchmarking.pipeline_naive import NaiveNode
from action_recognition.benchmarking.pipeline_scenes import FRAMES, PERSON, Cast, places
from action_recognition.cli import main
from action_recognition.errors import UserError
from action_recognition.nodes.convert import ns_to_stamp
from action_recognition.nodes.images import bgr_to_image
from action_recognition.skeleton import Poses


def plain_percentile(values, percent):
    """Linear between the two values round the place (n - 1) * percent / 100 of the sorted ones."""
    values = sorted(values)
    place = (len(values) - 1) * percent / 100
    low, high = values[math.floor(place)], values[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


@pytest.mark.parametrize('count', [1, 2, 57, 400])
def test_percentiles_are_those_of_the_sorted_values(count):
    values = np.random.default_rng(count).gamma(2, 5, count)
    got = summary(values.tolist(), 'ms')
    for percent in (50, 95, 99):
        assert got[f'ms_p{percent}'] == pytest.approx(plain_percentile(values, percent))


def test_percentiles_of_nothing_are_none():
    assert set(summary([], 'ms').values()) == {None}


def stamps(*slots, rate=15.0, jitter=0):
    """Stamps of images in these slots of a steady rate."""
    noise = np.random.default_rng(0).integers(-jitter, jitter + 1, len(slots))
    return [10**18 + round(s * 1e9 / rate) + int(n) for s, n in zip(slots, noise, strict=True)]


@pytest.mark.parametrize('jitter', [0, 5_000_000])
def test_images_without_an_answer_are_lost(jitter):
    answered = [0, 1, 2, 5, 6, 9]
    got = account(stamps(*answered, jitter=jitter), 15.0, 2.0)
    assert got == {'hz': 3.0, 'frames': 10, 'lost': 4}


def test_nothing_is_lost_when_all_are_answered_and_all_when_none_is():
    assert account(stamps(*range(60)), 15.0, 4.0)['lost'] == 0
    assert account([], 15.0, 4.0) == {'hz': 0.0, 'frames': 60, 'lost': 60}


def test_arrivals_are_those_of_labels():
    arrivals = Arrivals()
    arrivals.note('skeletons', b'', 1)
    arrivals.note('actions', b'', 2)
    assert list(arrivals) == [2]


def test_what_a_process_uses_is_what_the_system_says():
    before, _ = used(os.getpid())
    while sum(os.times()[:2]) < before + 0.1:
        pass
    seconds, memory = used(os.getpid())
    assert 0.05 < seconds - before < 60
    assert seconds == pytest.approx(sum(os.times()[:2]), abs=0.5)
    assert 10e6 < memory < 64e9


@pytest.mark.parametrize('size', [(640, 480), (1280, 720), (480, 640)])
@pytest.mark.parametrize('people', [1, 3, 10])
def test_people_stand_inside_and_beside_each_other(size, people):
    boxes = places(size, people)
    covered = np.zeros((size[1], size[0]), int)
    for left, top, width, height in boxes:
        assert left >= 0 and top >= 0
        assert left + width <= size[0] and top + height <= size[1]
        assert width / height == pytest.approx(PERSON[2] / PERSON[3], abs=0.02)
        covered[top : top + height, left : left + width] += 1
    assert len(boxes) == people
    assert covered.max() == 1
    assert covered.mean() > 0.2


@pytest.fixture
def clip(tmp_path):
    """As large as the sample clip; the person is bright and grows brighter."""
    path = tmp_path / 'clip.avi'
    images = []
    left, top, width, height = PERSON
    for number in range(FRAMES + 1):
        image = np.full((994, 1768, 3), 60, np.uint8)
        image[top : top + height, left : left + width] = 100 + number
        images.append(image)
    pipeline_scenes.save(images, path, 30)
    return path


def test_scenes_show_everybody_in_motion_and_begin_again_without_a_jump(clip):
    cast = Cast(clip)
    scene = cast.scene((320, 240), 3)
    assert len(scene) == len(cast) == 2 * FRAMES - 2
    boxes = places((320, 240), 3)
    light = np.array(
        [[image[t + h // 2, x + w // 2, 0] for x, t, w, h in boxes] for image in scene], int
    )
    steps = np.abs(np.diff(np.vstack([light, light[:1]]), axis=0))
    assert steps.max() <= 4  # JPEG
    assert np.ptp(light, axis=0).min() > 80
    assert (light[:, 0] != light[:, 1]).mean() > 0.8
    assert abs(int(scene[0][2, 160, 0]) - 60) <= 3


def test_saved_scenes_are_read_back(clip, tmp_path):
    images = Cast(clip).scene((320, 240), 1)[:5]
    pipeline_scenes.save(images, tmp_path / 'scene.avi', 15)
    video = cv2.VideoCapture(str(tmp_path / 'scene.avi'))
    assert video.get(cv2.CAP_PROP_FPS) == 15
    for image in images:
        there, read = video.read()
        assert there
        assert np.abs(read.astype(int) - image).mean() < 3


def test_a_clip_that_is_too_short_is_one_line(tmp_path):
    path = tmp_path / 'short.avi'
    pipeline_scenes.save([np.zeros((994, 1768, 3), np.uint8)] * 3, path, 30)
    with pytest.raises(UserError, match=r'short\.avi has fewer than 96 frames'):
        Cast(path)


def test_command_prints_a_row_of_each_scene(monkeypatch, capsys, tmp_path):
    def run(clip, graphs, sizes, people, rate, seconds, backend, trace):
        assert (graphs, sizes, people) == (['composed', 'naive'], [(640, 480)], [1, 3])
        assert (rate, seconds, backend, trace) == (30, 2, 'ours', None)
        row = summary([1, 2, 3], 'floor') | summary([], 'ms') | account([], rate, seconds)
        more = {'graph': 'naive', 'input': 'raw', 'size': '640x480', 'people': 3, 'tracked': 0.0}
        return [row | more | {'cpu_percent': 50.0, 'rss_mb': 300.0, 'growth_mb': 0.0}]

    monkeypatch.setattr(pipeline, 'run', run)
    monkeypatch.setattr('action_recognition.cli.sample.fetch_sample', lambda: 'clip')
    arguments = '--graphs composed,naive --sizes 640x480 --people 1,3 --rate 30 --seconds 2'
    out = tmp_path / 'figures.json'
    assert main(['benchmark', 'pipeline', *arguments.split(), '--json', str(out)]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert row.startswith('| naive | raw | 640x480 | 3 | 0.0 | 2.0 | 2.9 | - | - | - | - | 0.0 |')
    assert '| 60 of 60 |' in row
    assert '"lost": 60' in out.read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--graphs', 'composed,split'], f'there are {", ".join(GRAPHS)}'),
        (['--graphs', 'naive,naive'], '--graphs names one twice'),
        (['--rate', '0'], '--rate must be above 0'),
        (['--seconds', 'nan'], '--seconds must be above 0'),
        (['--republish', '-1'], '--republish must be at least 0'),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, arguments, message):
    assert main(['benchmark', 'pipeline', *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('sizes', ['640', '640x480,640x480', '640x-1', '32x32'])
def test_sizes_that_are_none_exit_with_code_2(sizes):
    with pytest.raises(SystemExit) as caught:
        main(['benchmark', 'pipeline', '--sizes', sizes])
    assert caught.value.code == 2


class Pair:
    """Finds the same two people in every image."""

    name = device = runtime = 'fake'

    def estimate(self, image, stamp=0):
        xy = np.stack(
            [np.arange(28.0).reshape(14, 2) * 3 + 50, np.arange(28.0).reshape(14, 2) + 300]
        )
        return Poses(xy, np.full((2, 14), 0.9), stamp=stamp, image_size=image.shape[1::-1])

    def close(self):
        pass


def test_naive_chain_asks_its_network_about_the_last_60_frames_of_everybody(domain_id, monkeypatch):
    context = rclpy.Context()
    context.init(domain_id=domain_id)
    node = NaiveNode(Pair(), context=context)
    answers, asked = [], []
    monkeypatch.setattr(node, '_publisher', SimpleNamespace(publish=answers.append))
    classify = node._classify
    monkeypatch.setattr(node, '_classify', lambda xy: asked.append(len(xy)) or classify(xy))
    headers = [Header(stamp=ns_to_stamp(10**18 + i * 66_000_000)) for i in range(64)]
    for header in headers:
        node._on_image(bgr_to_image(np.zeros((480, 640, 3), np.uint8), header))
    assert [answer.header for answer in answers] == headers
    assert [len(answer.actions) for answer in answers[-10:]] == [2] * 10
    assert asked == sorted(asked) and asked[-1] == 60
    assert all(1 / 32 <= action.confidence <= 1 for action in answers[-1].actions)
    node.destroy_node()
    context.try_shutdown()


def test_command_counts_republished_images(monkeypatch, capsys):
    figures = {'published': 9, 'relayed': 8, 'dropped': 1, 'received': 8, 'lost': 0}
    asked = []
    monkeypatch.setattr(pipeline, 'republish', lambda *args: asked.append(args) or figures)
    monkeypatch.setattr('action_recognition.cli.sample.fetch_sample', lambda: 'clip')
    assert main(['benchmark', 'pipeline', '--republish', '9']) == 0
    assert asked == [('clip', 9)]
    assert capsys.readouterr().out.splitlines()[2] == '| 9 | 8 | 1 | 8 | 0 |'
