"""Shapes that keep coming are prepared for."""

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
