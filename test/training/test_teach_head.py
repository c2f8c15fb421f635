"""A head is a regression on features of the base, and a part of a network like any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from action_recognition.recognition.features import ONLINE_FEATURES
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.training import teach_head as heads


def test_embedding_and_answer_are_the_network():
    model = OnlineRecognizer(3, units=8).eval()
    x = torch.randn(2, 6, ONLINE_FEATURES)
    assert torch.equal(model.answer(model.embed(x)), model(x))


@pytest.mark.parametrize('kept', [(), (0, 2)])
def test_a_head_in_a_network_is_the_head(base, kept):
    head = heads.Head(torch.randn(4, 64), torch.randn(4), kept)
    model = heads.install(base.model, base.settings, head)
    x = torch.randn(2, 5, ONLINE_FEATURES)
    with torch.no_grad():
        features = base.model.embed(x)
        expected = features @ head.weight.T + head.bias
        if kept:
            expected = torch.cat([base.model(x)[..., list(kept)], expected], -1)
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)


def test_the_head_is_the_regression_that_scikit_learn_finds():
    linear_model = pytest.importorskip('sklearn.linear_model', reason='scikit-learn is missing')
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 30)
    x = rng.normal(0, 1, (90, 6)) + np.eye(3, 6)[label]
    samples = heads.Samples(
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(label),
        torch.zeros(90, dtype=torch.long),
        torch.ones(90),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, 'LABEL_SMOOTHING', 0.0)
        head = heads.fit_head(samples, 3, 0.05)
    z = (x - x.mean(0)) / x.std(0)
    # Mean loss + 0.05 |w|^2 is 1/2 |w|^2 + C * sum of losses for C = 1 / (2 * 0.05 * n).
    reference = linear_model.LogisticRegression(C=1 / (0.1 * 90), tol=1e-8, max_iter=1000)
    np.testing.assert_allclose(
        torch.softmax(head.logits(samples.x), -1).numpy(),
        reference.fit(z, label).predict_proba(z),
        atol=2e-3,
    )


def test_people_who_stand_still_are_of_the_clip_whose_pose_they_hold(clips, base, monkeypatch):
    placed = [replace(c, xy=c.xy + 1000 * (k + 1)) for k, c in enumerate(clips[:4])]
    placed[1] = replace(placed[1], xy=np.repeat(placed[1].xy[:1], len(placed[1]), 0))
    lying = replace(placed[2], xy=placed[2].xy[..., ::-1].copy())
    monkeypatch.setattr(heads, 'embed', lambda _, tracks: tracks)
    monkeypatch.setattr(heads, '_samples', lambda tracks, _, owners: (tracks, owners))

    def drawn(given):
        rng = np.random.default_rng(0)
        return heads.background_of(base.model, given, 2, lambda track, _: track, 60, rng)

    tracks, owners = drawn([*placed[:2], lying, placed[3]])
    assert set(owners) == {0, 3}  # the others do not move, or lie
    places = [round(float(np.nanmedian(track.xy)) / 1000) for track in tracks]
    pairs = set(zip(owners, places, strict=True))
    assert pairs == {(0, 1), (3, 4), (0, 0), (3, 0)}  # some ghosts are in no place of a clip
    assert drawn([lying]) is None
