"""Bags: what is written can be read again, by rosbags and by ROS; images come out as they were."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from action_recognition.datasets.bag_writer import BagWriter
from action_recognition.datasets.bags import BagImages, BagSkeletons, topics, typestore
from action_recognition.datasets.skeleton_messages import parse_skeletons
from action_recognition.datasets.sources import open_source
from action_recognition.errors import UserError

STORE = typestore()
SKELETONS = 'action_recognition/msg/SkeletonArray'
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
START = 1_700_000_000_123_456_789


def new(kind: str, **values):
    return STORE.types[kind](**values)


def header(stamp: int):
    sec, nanosec = divmod(stamp, 10**9)
    time = new('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
    return new('std_msgs/msg/Header', stamp=time, frame_id='eye')


def skeletons(stamp: int, track_id: int):
    joint = new('action_recognition/msg/Joint', x=1.5, y=2.5, score=0.75)
    skeleton = new(
        'action_recognition/msg/Skeleton',
        track_id=track_id,
        joints=[joint] * 14,
        score=0.75,
        part_direction=np.arange(6, dtype=np.float32),
    )
    return new(
        SKELETONS, header=header(stamp), image_width=320, image_height=240, skeletons=[skeleton]
    )


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def raw_image(stamp: int, seed: int):
    return new(
        IMAGE,
        header=header(stamp),
        height=24,
        width=32,
        encoding='bgr8',
        is_bigendian=0,
        step=96,
        data=picture(seed).reshape(-1),
    )


def png_image(stamp: int, seed: int):
    data = cv2.imencode('.png', picture(seed))[1]
    return new(COMPRESSED, header=header(stamp), format='png', data=data.reshape(-1))


def write_bag(path: Path, topics: dict[str, list], plugin=StoragePlugin.MCAP) -> Path:
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for i, message in enumerate(messages):
                data = STORE.serialize_cdr(message, kind)
                writer.write(connection, START + i * 100_000_000, data)
    return path


def test_round_trip(tmp_path: Path) -> None:
    written = [skeletons(START + i, track_id=i) for i in range(3)]
    with BagWriter(tmp_path / 'bag', {'/skeletons': SKELETONS}) as bag:
        for i, message in enumerate(written):
            bag.write('/skeletons', bytes(STORE.serialize_cdr(message, SKELETONS)), START + i)
    assert list((tmp_path / 'bag').glob('*.mcap'))
    with AnyReader([tmp_path / 'bag']) as reader:  # by the definitions inside the bag
        read = [(t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages()]
    assert [time for time, _ in read] == [START, START + 1, START + 2]
    assert [message.skeletons[0].track_id for _, message in read] == [0, 1, 2]
    assert read[0][1].header.frame_id == 'eye'
    assert 'version: 8' in (tmp_path / 'bag' / 'metadata.yaml').read_text()


def test_ros_reads_what_we_write() -> None:
    serialization = pytest.importorskip('rclpy.serialization', reason='needs ROS')
    messages = pytest.importorskip('action_recognition.msg', reason='needs our messages')
    data = bytes(STORE.serialize_cdr(skeletons(START, track_id=7), SKELETONS))
    message = serialization.deserialize_message(data, messages.SkeletonArray)
    assert message.skeletons[0].track_id == 7
    assert message.skeletons[0].joints[13].score == pytest.approx(0.75)
    assert message.header.stamp.nanosec == START % 10**9


def test_we_read_what_ros_writes() -> None:
    serialization = pytest.importorskip('rclpy.serialization', reason='needs ROS')
    messages = pytest.importorskip('action_recognition.msg', reason='needs our messages')
    label = messages.ActionLabel(track_id=3, label='wave', confidence=0.5, scores=[0.5, 0.25])
    array = messages.ActionLabelArray(actions=[label])
    kind = 'action_recognition/msg/ActionLabelArray'
    read = STORE.deserialize_cdr(serialization.serialize_message(array), kind)
    assert read.actions[0].label == 'wave'
    np.testing.assert_array_equal(read.actions[0].scores, [0.5, 0.25])


def test_an_existing_bag_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='exists'):
        BagWriter(tmp_path, {})


@pytest.mark.parametrize('plugin', list(StoragePlugin))
@pytest.mark.parametrize('make', [raw_image, png_image])
def test_images(tmp_path: Path, make, plugin: StoragePlugin) -> None:
    """Pixels, order and stamps are those of the messages; the stamps are not those of recording."""
    stamps = [START, START + 33_000_001, START + 70_000_000]
    messages = [make(stamp, seed) for seed, stamp in enumerate(stamps)]
    path = write_bag(tmp_path / 'bag', {'/camera/image': messages}, plugin)
    with open_source(path) as source:
        assert (source.size, source.length, source.live) == ((32, 24), 3, False)
        assert source.fps == pytest.approx(10)
        assert source.start == START
        assert isinstance(source, BagImages)
        assert source.frame_id == 'eye'
        frames = list(source)
    assert [START + frame.stamp for frame in frames] == stamps
    assert [frame.index for frame in frames] == [0, 1, 2]
    for seed, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(seed))


def test_images_without_a_stamp_take_that_of_the_recording(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', {'/image': [raw_image(0, 0), raw_image(0, 1)]})
    with open_source(path) as source:
        assert source.start == START
        assert [frame.stamp for frame in source] == [0, 100_000_000]


def test_a_single_file_and_a_named_topic(tmp_path: Path) -> None:
    topics = {'/left': [raw_image(START, 1)], '/right': [raw_image(START, 2)]}
    path = write_bag(tmp_path / 'bag', topics)
    with pytest.raises(UserError, match='several topics of images') as caught:
        open_source(path)
    assert '/left, /right' in str(caught.value)
    file = next(path.glob('*.mcap'))
    for spec, seed in ((f'{path}:/left', 1), (f'{file}:/right', 2)):
        with open_source(spec) as source:
            np.testing.assert_array_equal(next(iter(source)).image, picture(seed))


def test_a_damaged_image_is_reported_and_passed_over(tmp_path: Path) -> None:
    damaged = raw_image(START + 1, 1)
    damaged.step = 5
    path = write_bag(tmp_path / 'bag', {'/i': [raw_image(START, 0), damaged, raw_image(START, 2)]})
    with open_source(path) as source:
        assert source.read() is not None
        with pytest.raises(UserError, match='step'):
            source.read()
        frame = source.read()
        assert frame is not None
        np.testing.assert_array_equal(frame.image, picture(2))
        assert source.read() is None


def test_closing_twice(tmp_path: Path) -> None:
    source = open_source(write_bag(tmp_path / 'bag', {'/i': [raw_image(START, 0)]}))
    source.close()
    source.close()
    assert source.read() is None


def test_bags_without_images(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', {'/skeletons': [skeletons(START, 1)]})
    with pytest.raises(UserError, match='holds no images'):
        open_source(path)
    with pytest.raises(UserError, match='no images on /nothing'):
        open_source(f'{path}:/nothing')


def test_damaged_and_missing_bags(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', {'/image': [raw_image(START, 0)]})
    file = next(path.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match=r'cannot read bag|damaged'):
        open_source(path)
    with pytest.raises(UserError, match='does not exist'):
        open_source(tmp_path / 'gone.mcap')


# --- skeletons ------------------------------------------------------------------------------


def people(stamp: int, ids: tuple[int, ...], frame_id: str = 'eye', seed: int = 0):
    rng = np.random.default_rng(seed)

    def joint():
        x, y, score = rng.random(3).astype(np.float32).tolist()
        return new('action_recognition/msg/Joint', x=x * 128, y=y * 128, score=score)

    everybody = [
        new(
            'action_recognition/msg/Skeleton',
            track_id=i,
            joints=[joint() for _ in range(14)],
            score=0.5,
            part_direction=rng.random(6).astype(np.float32),
        )
        for i in ids
    ]
    head = header(stamp)
    head.frame_id = frame_id
    return new(SKELETONS, header=head, image_width=320, image_height=240, skeletons=everybody)


@pytest.mark.parametrize('little', [True, False])
@pytest.mark.parametrize('frame_id', ['', 'e', 'ey', 'eye', 'eyes', 'camera_optical_frame'])
@pytest.mark.parametrize('ids', [(), (7,), (7, -1, -1, 2**40)])
def test_skeletons_are_parsed_as_rosbags_reads_them(ids, frame_id: str, little: bool) -> None:
    message = people(START, ids, frame_id)
    poses = parse_skeletons(bytes(STORE.serialize_cdr(message, SKELETONS, little_endian=little)))
    assert poses.stamp == START
    assert poses.image_size == (320, 240)
    assert poses.track_id.tolist() == list(ids)
    for k, person in enumerate(message.skeletons):
        np.testing.assert_array_equal(poses.xy[k], [(j.x, j.y) for j in person.joints])
        np.testing.assert_array_equal(poses.score[k], [j.score for j in person.joints])


def test_skeletons_cut_short_at_any_byte_are_refused() -> None:
    data = bytes(STORE.serialize_cdr(people(START, (1, 2)), SKELETONS))
    parse_skeletons(data)
    for length in range(len(data) - 4):
        with pytest.raises(UserError, match='cut short'):
            parse_skeletons(data[:length])


def test_skeletons_of_a_bag(tmp_path: Path) -> None:
    stamps = [0, START + 33, START + 70, START + 99]
    messages = [people(stamp, (1, 2)) for stamp in stamps]
    messages[2].skeletons[1].track_id = 1
    messages[1].skeletons[0].joints[3].x = float('nan')
    path = write_bag(tmp_path / 'bag', {'/skeletons': messages})
    with BagSkeletons(str(path)) as bag:
        assert bag.length == 4
        for _ in range(2):  # it can be read again
            read = list(bag)
            assert [poses.stamp for poses in read] == [START, START + 33, START + 99]
            assert bag.rejected == ['two skeletons of one image share a track id: [1, 1]']
        assert not read[1].seen[0, 3]
        assert read[1].seen.sum() == 27


def test_a_bag_without_skeletons_says_what_it_holds(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', {'/camera/image': [raw_image(START, 0)]})
    with pytest.raises(UserError, match=r'it holds /camera/image \(sensor_msgs/msg/Image\)'):
        BagSkeletons(str(path))
    assert topics(path) == {'/camera/image': (IMAGE, 1)}
    with pytest.raises(UserError, match='does not exist'):
        topics(tmp_path / 'gone')


def test_another_version_of_the_message(tmp_path: Path) -> None:
    """As it would be after a field was added: the definition in the bag is not ours."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg('std_msgs/Header header\nfloat64 more', SKELETONS))
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/skeletons', SKELETONS, typestore=store)
        message = store.types[SKELETONS](header=header(START), more=1.0)
        writer.write(connection, START, store.serialize_cdr(message, SKELETONS))
    file = tmp_path / 'bag' / 'bag.mcap'
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(file.read_bytes()[:-9])
    for path in (tmp_path / 'bag', file, cut):
        with pytest.raises(UserError, match=f'another version of {SKELETONS}'):
            BagSkeletons(str(path))
