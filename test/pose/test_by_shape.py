"""Shapes that keep coming are prepared for."""

import logging
import threading

import pytest

from action_recognition.pose.by_shape import MOST_SHAPES, PREPARE_AFTER, ByShape


def often(kept, shape, times=PREPARE_AFTER + 1):
    return [kept.get(shape) for _ in range(times)]


def test_a_shape_is_prepared_once_it_has_come_often_enough():
    made = []
    kept = ByShape(lambda shape: made.append(shape) or f'for {shape}')
    assert often(kept, (1, 2)) == [None] * PREPARE_AFTER + ['for (1, 2)']
    assert kept.get((1, 2)) == 'for (1, 2)'
    assert made == [(1, 2)]


def test_shapes_that_change_all_the_time_are_not():
    kept = ByShape(lambda shape: shape)
    assert [kept.get((i % 2, 1)) for i in range(20)] == [None] * 20


def test_another_shape_in_between_does_not_forget_what_is_prepared():
    kept = ByShape(lambda shape: shape)
    often(kept, (1,))
    assert kept.get((2,)) is None
    assert kept.get((1,)) == (1,)


def test_the_one_longest_unused_makes_room():
    made = []
    kept = ByShape(lambda shape: made.append(shape) or shape)
    for i in range(MOST_SHAPES):
        often(kept, (i,))
    kept.get((0,))
    often(kept, (MOST_SHAPES,))
    assert kept.get((0,)) == (0,)
    assert kept.get((1,)) is None
    assert made == [(i,) for i in range(MOST_SHAPES + 1)]


def test_what_is_known_before_is_there_at_once_and_for_good():
    made = []
    kept = ByShape(lambda shape: made.append(shape) or shape)
    for _ in range(2):
        kept.prepare((100,))
    for i in range(MOST_SHAPES + 1):
        often(kept, (i,))
    assert kept.get((100,)) == (100,)
    assert made.count((100,)) == 1
    assert kept.get((1,)) == (1,)  # no room was taken from the others


def test_in_the_background_inputs_do_not_wait():
    gate, made = threading.Event(), []

    def prepare(shape):
        gate.wait()
        made.append(shape)
        return shape

    kept = ByShape(prepare, background=True)
    assert often(kept, (1,), 20) == [None] * 20
    assert often(kept, (2,), 20) == [None] * 20  # one after the other
    gate.set()
    kept._thread.join()
    assert kept.get((1,)) == (1,)
    often(kept, (2,))
    kept._thread.join()
    assert kept.get((2,)) == (2,)
    assert made == [(1,), (2,)]


@pytest.mark.parametrize('background', [False, True])
def test_closing_waits_and_forgets(background):
    made = []
    kept = ByShape(lambda shape: made.append(shape) or shape, background)
    often(kept, (1,))
    kept.close()
    assert made == [(1,)]
    assert not kept._known and not kept._used


@pytest.mark.parametrize('background', [False, True])
@pytest.mark.parametrize('known', [False, True])
def test_what_cannot_be_prepared_is_said_once_and_not_tried_again(
    background, known, caplog, monkeypatch
):
    tried, uncaught = [], []
    monkeypatch.setattr(threading, 'excepthook', uncaught.append)

    def prepare(shape):
        tried.append(shape)
        if shape == (1,):
            raise RuntimeError('out of\nmemory')
        return shape

    kept = ByShape(prepare, background)
    with caplog.at_level(logging.WARNING):
        if known:
            kept.prepare((1,))
        for _ in range(5):
            assert often(kept, (1,)) == [None] * (PREPARE_AFTER + 1)
            if kept._thread:
                kept._thread.join()
        kept.prepare((1,))
    assert tried == [(1,)]
    assert uncaught == []
    (said,) = caplog.messages
    assert '(1,)' in said and said.endswith('RuntimeError: out of memory')
    often(kept, (2,))  # others are prepared for all the same
    kept.close()
    assert tried == [(1,), (2,)]
