"""Results in a file, their averages, and the table."""

from __future__ import annotations

import pytest

from action_recognition.benchmarking.results import Results, average, markdown
from action_recognition.errors import UserError


def figures(accuracy: float) -> dict:
    return {
        'accuracy': accuracy,
        'accuracy_at': {'0.5': accuracy / 2, '1.0': accuracy},
        'ece': 0.1,
        'n': 10,
        'classes': 2,
        'ms_median': 2.0,
        'ms_p95': 3.0,
        'parameters': 7,
    }


def test_what_is_stored_is_found_again_by_an_equal_key_only(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    key = {'peer': 'svm', 'seed': 0, 'recipe': {'choices': (1, 2)}}
    assert Results(path).find(key) is None
    Results(path).add(key, figures(0.5))
    Results(path).add({**key, 'seed': 1}, figures(0.7))
    assert Results(path).find(key) == figures(0.5)
    assert Results(path).find({**key, 'seed': 1}) == figures(0.7)
    assert Results(path).find({**key, 'recipe': {'choices': (1, 3)}}) is None
    assert [file.name for file in path.parent.iterdir()] == ['results.json']


@pytest.mark.parametrize('text', ['{', '[1]', '[{"key": 1, "figures": {}}]'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    path = tmp_path / 'results.json'
    path.write_text(text)
    with pytest.raises(UserError, match='holds no results; give another --out'):
        Results(path)


def test_splits_are_averaged_before_the_spread_of_seeds():
    rows = [(0, figures(0.2)), (0, figures(0.6)), (1, figures(0.5)), (1, figures(0.7))]
    found = average(rows)  # 0.4 and 0.6 per seed
    assert found['accuracy'] == pytest.approx(0.5)
    assert found['accuracy_std'] == pytest.approx(0.02**0.5)
    assert found['accuracy_at'] == {'0.5': pytest.approx(0.25), '1.0': pytest.approx(0.5)}
    assert (found['n'], found['classes'], found['seeds']) == (20, 2, [0, 1])
    assert (found['ms_median'], found['parameters']) == (2, 7)
    assert average(rows[:1])['accuracy_std'] is None
    assert 'map_std' not in found


def test_the_spread_of_figures_of_streams():
    rows = [(seed, {**figures(0.5), 'map': value}) for seed, value in enumerate((0.2, 0.4))]
    assert average(rows)['map_std'] == pytest.approx(0.02**0.5)
    assert average(rows[:1])['map_std'] is None


def test_the_table_has_a_dash_where_there_is_no_value():
    rows = [{'peer': 'a', 'x': 0.25}, {'peer': 'b', 'x': None}, {'peer': 'c'}]
    assert markdown(rows, {'peer': '{peer}', 'x': '{x:.1f}'}).splitlines() == [
        '| peer | x |',
        '| --- | --- |',
        '| a | 0.2 |',
        '| b | - |',
        '| c | - |',
    ]
