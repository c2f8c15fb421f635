"""The main person of a video, and that nobody is looked for twice."""

from __future__ import annotations

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from bag_recipes import START, image_message, write_bag

from action_recognition import weights
from action_recognition.errors import UserError
from action_recognition.evaluation import estimated, offline
from action_recognition.evaluation.estimated import (
    JointCache,
    Video,
    detected,
    folder_videos,
    main_person,
)
from action_recognition.pose.gaze import Gaze, LookConfig
from action_recognition.pose.heads import PoseNetwork
from action_recognition.skeleton import Poses
from action_recognition.stages.perception import PerceptionConfig

FRAMES = 12
FULL = LookConfig('full')
BODY = np.stack([np.linspace(0, 20, 14), np.linspace(0, 60, 14)], 1).astype(np.float32)


class Scripted:
    """Finds in each image what a script says: [(left edge, score), ...] per image."""

    name, device = 'scripted', 'cpu'

    def __init__(self, script):
        self.script, self.images, self.closed = script, 0, False

    def estimate(self, image, stamp=0):
        people = self.script[self.images % len(self.script)]
        self.images += 1
        xy = np.array([BODY + np.array([left, 20]) for left, _ in people], np.float32).reshape(
            -1, 14, 2
        )
        score = np.array([np.full(14, s) for _, s in people], np.float32).reshape(-1, 14)
        height, width = image.shape[:2]
        return Poses(xy, score, stamp=stamp, image_size=(width, height))

    def close(self):
        self.closed = True


def record(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (160, 120))
    for k in range(frames):
        writer.write(np.full((120, 160, 3), 10 * k, np.uint8))
    writer.release()


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'videos' / 'wave' / 'one.mp4'
    path.parent.mkdir(parents=True)
    record(path, FRAMES)
    return Video('wave/one', 'wave', 'one', path)


def test_main_person_has_the_highest_scores_over_the_whole_video(video):
    # The surer person is there for three images only.
    script = [[(10, 0.5), (100, 0.9)]] * 3 + [[(10, 0.5)]] * (FRAMES - 3)
    clip = main_person(video, Scripted(script), FULL)
    assert len(clip) == FRAMES
    np.testing.assert_allclose(clip.xy[:, 0, 0], 10)
    np.testing.assert_allclose(clip.score, 0.5)
    assert (clip.name, clip.label, clip.group) == ('wave/one', 'wave', 'one')
    assert clip.image_size == (160, 120)
    np.testing.assert_array_equal(clip.stamps, np.arange(FRAMES) * 100_000_000)


def test_images_without_the_person_are_left_out_and_the_others_keep_their_stamps(video):
    script = [[(10, 0.9)]] * 4 + [[]] * 3 + [[(10, 0.9)]] * (FRAMES - 7)
    clip = main_person(video, Scripted(script), FULL)
    seen = [*range(4), *range(7, FRAMES)]
    np.testing.assert_array_equal(clip.stamps, np.array(seen) * 100_000_000)


def test_people_are_looked_for_where_the_tracker_expects_them(video, monkeypatch):
    expected, look = [], Gaze.look

    def spy(self, image, stamp, known):
        expected.append((known.track_id.tolist(), known.stamp == stamp))
        return look(self, image, stamp, known)

    monkeypatch.setattr(Gaze, 'look', spy)
    estimator = Scripted([[(10, 0.9)]])
    for _ in range(2):
        main_person(video, estimator, FULL)
    assert expected == ([([], True)] + [([1], True)] * (FRAMES - 1)) * 2


def test_nobody_is_one_frame_without_joints(video):
    clip = main_person(video, Scripted([[]]), FULL)
    assert not detected(clip)
    assert len(clip) == 1
    assert np.isnan(clip.xy).all()


@pytest.mark.parametrize(
    ('tenths', 'kept'),
    [
        ([0, 1, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 3, 2, 4, 5], [0, 1, 3, 4, 5]),
        ([0, 1, 2, 2, 1, 3], [0, 1, 2, 3]),
        ([0, 1, 20, 21, 22, 2, 3], [0, 1, 20, 21, 22]),  # the clock jumps: they are somebody else
    ],
)
def test_stamps_are_treated_as_by_the_node(tmp_path, tenths, kept):
    image = np.zeros((120, 160, 3), np.uint8)
    messages = [image_message(image, START + k * 100_000_000, False) for k in tenths]
    path = write_bag(tmp_path / 'k', {'/image': messages})
    clip = main_person(Video('k', 'wave', 'k', path), Scripted([[(10, 0.9)]]), FULL)
    np.testing.assert_array_equal(clip.stamps, [k * 100_000_000 for k in kept])
    nodes = offline.look(str(path), Scripted([[(10, 0.9)]]), PerceptionConfig(look=FULL))
    np.testing.assert_array_equal(
        clip.stamps + START, [poses.stamp for poses in nodes.poses if 1 in poses.track_id]
    )


@pytest.fixture
def pose_file(tmp_path):
    path = tmp_path / 'small.safetensors'
    header = weights.Header(kind='pose', name='small', config={'stages': 1})
    weights.save(path, PoseNetwork(1).state_dict(), header)
    return path


@pytest.fixture
def made(monkeypatch):
    """Estimators made by the cache, which all find one person."""
    estimators = []

    def create(*_):
        estimators.append(Scripted([[(10, 0.9)]]))
        return estimators[-1]

    monkeypatch.setattr(estimated, 'create_estimator', create)
    return estimators


def test_joints_are_found_once(video, pose_file, made, tmp_path):
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    (first,) = cache.clips([video])
    (second,) = JointCache(tmp_path / 'cache', str(pose_file), look=FULL).clips([video])
    assert len(made) == 1
    assert made[0].closed
    np.testing.assert_array_equal(first.xy, second.xy)
    np.testing.assert_array_equal(first.stamps, second.stamps)
    assert first.image_size == second.image_size


def test_a_video_that_was_recorded_anew_is_looked_at_anew(video, pose_file, made, tmp_path):
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    assert len(cache.clips([video])[0]) == FRAMES
    record(video.path, FRAMES + 3)
    assert len(cache.clips([video])[0]) == FRAMES + 3
    state = video.path.stat()
    os.utime(video.path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))  # of the same size
    cache.clips([video])
    assert len(made) == 3
    video.path.unlink()
    with pytest.raises(UserError, match=r'one\.mp4.* does not exist'):
        cache.clips([video])


def test_a_folder_of_which_one_file_changed_is_looked_at_anew(video, pose_file, made, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for k in range(4):
        cv2.imwrite(str(folder / f'{k}.png'), np.zeros((120, 160, 3), np.uint8))
    images = replace(video, path=folder)
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    for _ in range(2):
        cache.clips([images])
    assert len(made) == 1
    cv2.imwrite(str(folder / '2.png'), np.eye(120, 160, dtype=np.uint8))
    cache.clips([images])
    assert len(made) == 2


def test_joints_of_a_video_that_changes_meanwhile_are_not_those_of_the_new_one(
    video, pose_file, made, tmp_path, monkeypatch
):
    look = estimated._look

    def slow(cache, video):
        found = look(cache, video)
        if len(made) == 1:
            record(video.path, FRAMES + 3)
        return found

    monkeypatch.setattr(estimated, '_look', slow)
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    assert [len(cache.clips([video])[0]) for _ in range(3)] == [FRAMES, FRAMES + 3, FRAMES + 3]
    assert len(made) == 2


def test_other_weights_settings_and_code_look_again(pose_file, tmp_path, monkeypatch):
    header = weights.Header(kind='pose', name='other', config={'stages': 1})
    other = tmp_path / 'other.safetensors'
    weights.save(other, PoseNetwork(1).state_dict(), header)
    folder = tmp_path / 'cache'
    places = {
        JointCache(folder, str(pose_file)).place,
        JointCache(folder, str(other)).place,
        JointCache(folder, str(pose_file), config=estimated.EstimatorConfig(160)).place,
        JointCache(folder, str(pose_file), look=FULL).place,
    }
    monkeypatch.setattr(estimated, 'VERSION', estimated.VERSION + 1)
    places.add(JointCache(folder, str(pose_file)).place)
    assert len(places) == 5


def test_a_run_that_was_stopped_goes_on(video, pose_file, made, tmp_path, monkeypatch):
    damaged = Video('wave/two', 'wave', 'two', tmp_path / 'two.mp4')
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    with pytest.raises(UserError, match=r'two\.mp4'):
        cache.clips([video, damaged])
    assert made[0].images == FRAMES
    assert made[0].closed
    assert len(cache.clips([video])) == 1
    assert len(made) == 1


def test_a_damaged_file_is_one_clear_error(video, pose_file, made, tmp_path):
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    cache.clips([video])
    (file,) = cache.place.rglob('*.npz')
    file.write_bytes(b'nothing')
    with pytest.raises(UserError, match='cannot read'):
        cache.clips([video])


def test_two_processes_may_fill_one_folder(video, pose_file, made, tmp_path, monkeypatch):
    """The other one looks at the same video, and is done in the middle of our writing."""
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    save, me, finished = np.savez, os.getpid(), []

    def slow(file, **arrays):
        if not finished:
            finished.append(True)
            monkeypatch.setattr(os, 'getpid', lambda: me + 1)
            JointCache(tmp_path / 'cache', str(pose_file), look=FULL).clips([video])
            monkeypatch.setattr(os, 'getpid', lambda: me)
        save(file, **arrays)

    monkeypatch.setattr(np, 'savez', slow)
    (ours,) = cache.clips([video])
    (kept,) = cache.clips([video])
    np.testing.assert_array_equal(kept.xy, ours.xy)
    assert [path.suffix for path in cache.place.rglob('*') if path.is_file()] == ['.npz']


@pytest.mark.parametrize('taken', ['', 'joints', 'joints/wave'])
def test_a_folder_that_cannot_be_written_is_one_clear_error(
    video, pose_file, made, tmp_path, taken
):
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    path = tmp_path / 'cache' / taken.replace('joints', cache.place.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(UserError, match=r'cannot keep joints in .*: give another folder'):
        cache.clips([video])
    assert made == []  # before anybody is looked for


def test_a_disk_that_is_full_is_one_clear_error(video, pose_file, made, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', full)
    cache = JointCache(tmp_path / 'cache', str(pose_file), look=FULL)
    with pytest.raises(UserError, match='No space left on device'):
        cache.clips([video])
    assert made[0].closed
    assert not list(cache.place.rglob('*.npz'))


def test_videos_of_a_folder(video, tmp_path):
    (found,) = folder_videos(tmp_path / 'videos')
    assert (found.name, found.label, found.path) == ('wave/one', 'wave', video.path)


def test_several_processes_find_the_joints_of_one(pose_file, tmp_path):
    folder = tmp_path / 'videos' / 'walk'
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(3):
        writer = cv2.VideoWriter(
            str(folder / f'{k}.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 10, (64, 64)
        )
        for _ in range(3):
            writer.write(rng.integers(0, 255, (64, 64, 3), np.uint8))
        writer.release()
    (folder / 'broken.mp4').write_bytes(b'nothing')
    videos = folder_videos(tmp_path / 'videos')
    config = estimated.EstimatorConfig(64, runtime='torch')
    lists = []
    for jobs in (1, 2):
        unreadable: dict[str, str] = {}
        cache = JointCache(
            tmp_path / str(jobs), str(pose_file), 'cpu', config, look=FULL, jobs=jobs
        )
        lists.append(cache.clips(videos, unreadable))
        assert list(unreadable) == ['walk/broken']
    for one, other in zip(*lists, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.xy, other.xy)
        np.testing.assert_array_equal(one.score, other.score)
        np.testing.assert_array_equal(one.stamps, other.stamps)
