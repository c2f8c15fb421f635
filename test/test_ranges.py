"""Which values are taken, and what is said about the others."""

from __future__ import annotations

import math

import pytest

from action_recognition.errors import UserError
from action_recognition.ranges import COUNT, FLAG, PART, POSITIVE, SEED, SHARE, Range, check


@pytest.mark.parametrize(
    ('rule', 'inside', 'outside'),
    [
        (SHARE, [0, 0.5, 1], [-0.1, 1.1, math.nan, math.inf, '0.5', None, True, [0.5]]),
        (PART, [0, 0.999], [1, 1.0]),
        (POSITIVE, [1e-9, 3], [0, 0.0, -1, math.inf]),
        (Range(0), [0, 1e300, 10**400], [-1e-9, math.inf, math.nan]),
        (COUNT, [1, 10**30], [0, -1, 1.0, '1', True]),
        (SEED, [0, 2**32 - 1], [-1, 2**32, 1.5]),
        (FLAG, [True, False], [0, 1, 'yes', None]),
    ],
)
def test_what_is_inside(rule, inside, outside):
    assert [value in rule for value in inside] == [True] * len(inside)
    assert [value in rule for value in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ('rule', 'value', 'line'),
    [
        (SHARE, 2, 'x must be a number from 0 to 1, not 2'),
        (PART, 1, 'x must be a number from 0 to below 1, not 1'),
        (POSITIVE, '2e-3', "x must be a number above 0, not the text '2e-3'"),
        (Range(0), None, 'x must be a number from 0 on, not None'),
        (Range(0, 1, above=True, below=True), 0, 'x must be a number above 0 and below 1, not 0'),
        (Range(0, 1, above=True), 0, 'x must be a number above 0 and up to 1, not 0'),
        (COUNT, 1.5, 'x must be a whole number from 1 on, not 1.5'),
        (Range(1, 6, whole=True), 7, 'x must be a whole number from 1 to 6, not 7'),
        (FLAG, 'no', "x must be true or false, not the text 'no'"),
    ],
)
def test_the_line_says_what_to_give(rule, value, line):
    with pytest.raises(UserError) as caught:
        check({'w': 1, 'x': value}, {'w': COUNT, 'x': rule})
    assert str(caught.value) == line


def test_a_long_value_stays_one_short_line():
    with pytest.raises(UserError, match=r'^a\.x must be') as caught:
        check({'x': 'long\n' * 1000}, {'x': COUNT}, 'a.')
    line = str(caught.value)
    assert len(line) < 120
    assert '\n' not in line
