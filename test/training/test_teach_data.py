"""Recordings of all kinds become labelled clips, and what cannot be read is listed."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from bag_recipes import START, image_message, write_bag

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation import estimated
from action_recognition.evaluation.estimated import JointCache
from action_recognition.pose.gaze import LookConfig
from action_recognition.pose.heads import PoseNetwork
from action_recognition.skeleton import Poses
from action_recognition.training import teach_data
from action_recognition.training.teach_data import (
    POSE_COLUMNS,
    check_labels,
    read_material,
    source_of,
)


class Cache(JointCache):
    """Finds what `found` says by name: a clip, or the reason why a video cannot be read."""

    found: dict = {}

    def clips(self, videos, unreadable=None):
        out = []
        for video in videos:
            answer = self.found.get(video.name, 'no video')
            if isinstance(answer, str):
                unreadable[video.name] = answer
            else:
                out.append(replace(answer, name=video.name, label=video.label, group=video.group))
        return out


@pytest.fixture
def clip(people) -> SkeletonClip:
    return people[0]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def nobody(clip):
    return replace(
        clip, xy=np.full((1, 14, 2), np.nan), score=np.zeros((1, 14)), stamps=np.zeros(1, int)
    )


def test_videos_that_show_nobody_or_cannot_be_read_are_listed(tmp_path, clip, monkeypatch):
    touch(tmp_path, 'wave/anna_1.mp4', 'wave/anna_2.mp4', 'nod/b.mp4', 'none/c.mp4', 'nod/d.avi')
    short = replace(clip, xy=clip.xy[:2], score=clip.score[:2], stamps=clip.stamps[:2])
    found = {'wave/anna_1': clip, 'wave/anna_2': clip, 'none/c': clip, 'nod/b': nobody(clip)}
    monkeypatch.setattr(Cache, 'found', {**found, 'nod/d': short})
    material = read_material(tmp_path, Cache(tmp_path))
    assert [(c.name, c.label, c.group) for c in material.clips] == [
        ('none/c', 'background', 'none/c'),
        ('wave/anna_1', 'wave', 'wave/anna'),
        ('wave/anna_2', 'wave', 'wave/anna'),
    ]
    assert material.labels == ('wave',)
    assert material.skipped == {
        'nod/b': 'nobody was found',
        'nod/d': 'somebody was found in 2 images only',
    }


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('wave/anna_1', 'wave/anna'),
        ('wave/anna (12)', 'wave/anna'),
        ('wave/kitchen-anna-03', 'wave/kitchen-anna'),
        ('wave/1', 'wave/1'),
        ('wave/wave_2', 'wave/wave_2'),
        ('wave/anna', 'wave/anna'),
    ],
)
def test_a_number_at_the_end_is_of_the_same_source(name, source):
    assert source_of(name) == source


def test_a_file_of_groups_says_what_belongs_together(tmp_path, clip, monkeypatch):
    touch(tmp_path / 'data', 'wave/a.mp4', 'nod/b.mp4')
    monkeypatch.setattr(Cache, 'found', {'wave/a': clip, 'nod/b': clip})
    (tmp_path / 'groups.csv').write_text('clip,source\nwave/a,film\nnod/b,film\n')
    material = read_material(
        tmp_path / 'data', Cache(tmp_path), groups_file=tmp_path / 'groups.csv'
    )
    assert {c.group for c in material.clips} == {'film'}
    (tmp_path / 'groups.csv').write_text('wave/a,film\n')
    with pytest.raises(UserError, match='lacks the columns clip,source'):
        read_material(tmp_path / 'data', Cache(tmp_path), groups_file=tmp_path / 'groups.csv')


def test_a_file_of_groups_may_name_what_is_one_source_already(tmp_path, clip, monkeypatch):
    names = ('wave/anna_1', 'wave/anna_2', 'wave/ben', 'nod/anna_1')
    touch(tmp_path / 'data', *(f'{name}.mp4' for name in names))
    monkeypatch.setattr(Cache, 'found', dict.fromkeys(names, clip))
    table = tmp_path / 'groups.csv'
    table.write_text('clip,source\nwave/anna, film \n,\nwave/anna_2,later\n')
    material = read_material(tmp_path / 'data', Cache(tmp_path), groups_file=table)
    assert {c.name: c.group for c in material.clips} == {
        'wave/anna_1': 'film',
        'wave/anna_2': 'later',
        'wave/ben': 'wave/ben',
        'nod/anna_1': 'nod/anna',
    }


@pytest.mark.parametrize('poses', [False, True])
@pytest.mark.parametrize(
    ('row', 'said'),
    [
        ('wave/anna_1', 'line 2 lacks the source'),
        ('wave/anna_1,', 'line 2 lacks the source'),
        (',film', 'line 2 lacks the clip'),
        ('wave/ana_1,film', r"no clip 'wave/ana_1', .* there is wave/anna_1"),
    ],
)
def test_a_row_of_groups_that_tells_nothing_is_refused_before_any_work(tmp_path, row, said, poses):
    touch(tmp_path / 'data', f'wave/anna_1.{"csv" if poses else "mp4"}')
    (tmp_path / 'groups.csv').write_text(f'clip,source\n{row}\n')
    with pytest.raises(UserError, match=said):
        read_material(tmp_path / 'data', None, groups_file=tmp_path / 'groups.csv', poses=poses)


@pytest.mark.parametrize('label', ['unknown', 'two words', '1st', '', 'a/b', 'wäve'])
def test_what_cannot_be_a_label_is_refused(label):
    with pytest.raises(UserError, match='cannot be the name of an action'):
        check_labels(['wave', label])


def test_two_files_of_one_name_are_refused(tmp_path):
    touch(tmp_path, 'wave/a.mp4', 'wave/a.avi')
    with pytest.raises(UserError, match='two recordings are called wave/a'):
        read_material(tmp_path, Cache(tmp_path))


def test_joints_as_arrays_and_as_a_table_are_the_same_clip(tmp_path, clip):
    score = clip.score.copy()
    score[3, 4] = 0
    clip = replace(clip, score=score)
    folder = tmp_path / 'wave'
    folder.mkdir()
    np.savez(
        folder / 'a.npz', xy=clip.xy, score=clip.score, stamps=clip.stamps, image_size=(320, 240)
    )
    with (folder / 'b.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(POSE_COLUMNS)
        for stamp, xy, score in zip(clip.stamps, clip.xy, clip.score, strict=True):
            joints = [[*p, s] if s > 0 else ['', '', ''] for p, s in zip(xy, score, strict=True)]
            writer.writerow([f'{stamp / 1e9:.9f}', *np.array(joints).ravel()])
    one, two = read_material(tmp_path, Cache(tmp_path), poses=True).clips
    np.testing.assert_allclose(one.xy, two.xy, atol=1e-3)
    np.testing.assert_array_equal(one.score, two.score)
    np.testing.assert_array_equal(one.stamps, two.stamps)
    assert np.isnan(one.xy[3, 4]).all()


@pytest.mark.parametrize('text', ['time,x\n0,1\n', 'nothing'])
def test_a_table_without_its_columns_is_listed(tmp_path, text):
    touch(tmp_path, 'wave/a.csv')
    (tmp_path / 'wave' / 'a.csv').write_text(text)
    material = read_material(tmp_path, Cache(tmp_path), poses=True)
    assert 'lacks the column' in material.skipped['wave/a']


@pytest.mark.parametrize('poses', [False, True])
def test_nothing_in_this_layout_is_one_clear_error(tmp_path, poses):
    with pytest.raises(UserError, match='holds no <class>/<clip>'):
        read_material(tmp_path, Cache(tmp_path), poses=poses)
    with pytest.raises(UserError, match='is not a folder'):
        read_material(tmp_path / 'absent', Cache(tmp_path), poses=poses)


class Bag:
    """Two people for 4 seconds at 10 Hz, the first message at 100 s."""

    def __init__(self, _spec):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        for k in range(40):
            xy = np.zeros((2, 14, 2), np.float32) + np.array([k, 100 + k])[:, None, None]
            score = np.full((2, 14), 1, np.float32) * np.array([[0.5], [0.9]])
            yield Poses(xy, score, np.array([3, 7]), (1000 + k) * 100_000_000, (320, 240))


def test_segments_of_a_bag_are_clips_of_the_person_who_is_named(tmp_path, monkeypatch):
    touch(tmp_path, 'data/kitchen/metadata.yaml')
    (tmp_path / 'truth.csv').write_text(
        'bag,start,end,person,label\n'
        'kitchen,1,2,3,wave\nkitchen,2,3,any,nod\nkitchen,3,3.5,3,none\n'
        'kitchen,0,1,any,unscored\nkitchen,9,10,3,wave\nhall,1,2,any,wave\n'
    )
    monkeypatch.setattr(teach_data, 'topics', lambda _: {'/skeletons': (teach_data.SKELETONS, 40)})
    monkeypatch.setattr(teach_data, 'BagSkeletons', Bag)
    material = read_material(tmp_path / 'data', Cache(tmp_path), tmp_path / 'truth.csv')
    wave, nod, none = material.clips
    assert (wave.label, nod.label, none.label) == ('wave', 'nod', 'background')
    np.testing.assert_array_equal(wave.xy[:, 0, 0], np.arange(10, 20))
    np.testing.assert_array_equal(nod.xy[:, 0, 0], np.arange(120, 130))  # the surer one
    np.testing.assert_array_equal(wave.stamps, np.arange(10) * 100_000_000)
    assert {clip.group for clip in material.clips} == {'kitchen'}
    assert set(material.skipped) == {'kitchen/wave_4', 'hall'}


def test_bags_of_one_session_are_one_source_where_a_table_says_so(tmp_path, monkeypatch):
    touch(tmp_path, *(f'data/{name}/metadata.yaml' for name in ('hall', 'kitchen', 'lab', 'yard')))
    (tmp_path / 'truth.csv').write_text(
        'bag,start,end,person,label\n'
        'hall,1,2,3,wave\nkitchen,1,2,3,wave\nkitchen,2,3,3,nod\nlab,1,2,3,nod\nroof,1,2,3,nod\n'
    )
    table = tmp_path / 'groups.csv'
    table.write_text(
        'clip,source\nhall,monday\nkitchen,monday\nkitchen/nod_2,late\nyard,a\nroof,b\n'
    )
    monkeypatch.setattr(teach_data, 'topics', lambda _: {'/skeletons': (teach_data.SKELETONS, 40)})
    monkeypatch.setattr(teach_data, 'BagSkeletons', Bag)
    given = tmp_path / 'data', Cache(tmp_path), tmp_path / 'truth.csv', table
    assert {clip.name: clip.group for clip in read_material(*given).clips} == {
        'hall/wave_1': 'monday',
        'kitchen/wave_1': 'monday',
        'kitchen/nod_2': 'late',
        'lab/nod_1': 'lab',
    }
    table.write_text('clip,source\nkitchn,monday\n')
    with pytest.raises(UserError, match=r"no clip 'kitchn', .* there is kitchen"):
        read_material(*given)


def test_bags_of_one_name_in_several_folders_are_several(tmp_path, monkeypatch):
    folders = ['anna/kitchen', 'ben/kitchen', 'rec.1', 'rec.2']
    touch(tmp_path / 'data', *(f'{name}/metadata.yaml' for name in folders))
    touch(tmp_path / 'data', 'rec.3.mcap', 'rec.4.db3')
    bags = [*folders, 'rec.3', 'rec.4']
    rows = ''.join(f'{bag},1,2,3,wave\n' for bag in bags)
    # One person is not there, and one bag is damaged; the others of their names stay.
    rows += 'anna/kitchen,2,3,9,nod\nben/kitchen,2,3,3,nod\n'
    (tmp_path / 'truth.csv').write_text(f'bag,start,end,person,label\n{rows}')

    def topics(path):
        if path.name == 'rec.2':
            raise UserError('damaged')
        return {'/skeletons': (teach_data.SKELETONS, 40)}

    monkeypatch.setattr(teach_data, 'topics', topics)
    monkeypatch.setattr(teach_data, 'BagSkeletons', Bag)
    given = Cache(tmp_path), tmp_path / 'truth.csv'
    material = read_material(tmp_path / 'data', *given)
    assert {clip.name: clip.group for clip in material.clips} == {
        **{f'{bag}/wave_1': bag for bag in bags if bag != 'rec.2'},
        'ben/kitchen/nod_2': 'ben/kitchen',
    }
    assert material.skipped == {
        'anna/kitchen/nod_2': 'nobody was tracked from 2 to 3',
        'rec.2': 'damaged',
    }
    (clip,) = read_material(tmp_path / 'data' / 'rec.1', *given).clips  # the folder is the bag
    assert (clip.name, clip.group) == ('rec.1/wave_1', 'rec.1')
    touch(tmp_path / 'data', 'rec.4.mcap')
    with pytest.raises(UserError, match=r'two recordings are called rec\.4'):
        read_material(tmp_path / 'data', *given)


def test_a_bag_may_be_told_about_by_the_clock(tmp_path, monkeypatch):
    touch(tmp_path, 'data/kitchen/metadata.yaml')
    (tmp_path / 'truth.csv').write_text('bag,start,end,person,label\nkitchen,1,2,3,wave\n')
    monkeypatch.setattr(teach_data, 'topics', lambda _: {'/skeletons': (teach_data.SKELETONS, 40)})
    monkeypatch.setattr(teach_data, 'BagSkeletons', ClockBag)
    (one,) = read_material(tmp_path / 'data', Cache(tmp_path), tmp_path / 'truth.csv').clips
    begin = START // 10**9
    (tmp_path / 'truth.csv').write_text(
        f'bag,start,end,person,label\nkitchen,{begin + 1},{begin + 2},3,wave\n'
        f'kitchen,{begin + 9},{begin + 10},3,nod\n'
    )
    material = read_material(tmp_path / 'data', Cache(tmp_path), tmp_path / 'truth.csv')
    (two,) = material.clips
    np.testing.assert_array_equal(one.xy[:, 0, 0], np.arange(10, 20))
    np.testing.assert_array_equal(one.xy, two.xy)
    np.testing.assert_array_equal(one.stamps, two.stamps)
    assert material.skipped == {
        'kitchen/nod_2': f'nobody was tracked from {begin + 9} to {begin + 10}'
    }


class ClockBag(Bag):
    """The same by a clock that tells the time of the day."""

    def __iter__(self):
        for poses in super().__iter__():
            yield replace(poses, stamp=poses.stamp - 100 * 10**9 + START)


class Watcher:
    """Finds one person in every image, who stands where the image is as bright as that."""

    name, device = 'watcher', 'cpu'
    images = 0

    def estimate(self, image, stamp=0):
        Watcher.images += 1
        body = np.stack([np.linspace(0, 20, 14), np.linspace(0, 60, 14)], 1)
        xy = (body + np.array([image[0, 0, 0], 20]))[None].astype(np.float32)
        height, width = image.shape[:2]
        return Poses(xy, np.ones((1, 14), np.float32), stamp=stamp, image_size=(width, height))

    def close(self):
        pass


@pytest.mark.parametrize('jpeg', [False, True])
@pytest.mark.parametrize('begin', [0, START // 10**9])
def test_images_of_a_bag_are_looked_at(tmp_path, monkeypatch, jpeg, begin):
    monkeypatch.setattr(estimated, 'create_estimator', lambda *_: Watcher())
    monkeypatch.setattr(Watcher, 'images', 0)
    pose = tmp_path / 'small.safetensors'
    header = weights.Header(kind='pose', name='small', config={'stages': 1})
    weights.save(pose, PoseNetwork(1).state_dict(), header)
    images = (
        image_message(np.full((120, 160, 3), k, np.uint8), START + k * 100_000_000, jpeg)
        for k in range(40)
    )
    (tmp_path / 'data').mkdir()
    write_bag(tmp_path / 'data' / 'kitchen', {'/camera/image': images})
    (tmp_path / 'truth.csv').write_text(
        'bag,start,end,person,label\n'
        f'kitchen,{begin + 1},{begin + 2},any,wave\nkitchen,{begin + 2.5},{begin + 3.5},7,nod\n'
        f'kitchen,{begin + 50},{begin + 51},any,nod\n'
    )
    cache = JointCache(tmp_path / 'cache', str(pose), look=LookConfig('full'))
    for _ in range(2):
        material = read_material(tmp_path / 'data', cache, tmp_path / 'truth.csv')
        wave, nod = material.clips
        assert (wave.label, wave.group, nod.label) == ('wave', 'kitchen', 'nod')
        # The brightness, and with it the place, is the number of the image.
        np.testing.assert_allclose(wave.xy[:, 0, 0], np.arange(10, 20), atol=1)
        np.testing.assert_allclose(nod.xy[:, 0, 0], np.arange(25, 35), atol=1)
        np.testing.assert_array_equal(wave.stamps, np.arange(10) * 100_000_000)
        assert wave.image_size == (160, 120)
        assert list(material.skipped) == ['kitchen/nod_3']
    assert Watcher.images == 40
