"""Made-up motions are learnt by a head and by the whole network, and the weights work anywhere."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from action_recognition import weights
from action_recognition.datasets.clips import SkeletonClip
from action_recognition.errors import UserError
from action_recognition.evaluation.action import clip_logits
from action_recognition.evaluation.estimated import JointCache
from action_recognition.recognition.features import ELAPSED, ONLINE_FEATURES
from action_recognition.recognition.models import create_model
from action_recognition.recognition.online import OnlineRecognizer
from action_recognition.recognition.stream import StreamingRecognizer
from action_recognition.skeleton import Joint
from action_recognition.training import teach as module
from action_recognition.training import teach_head as heads
from action_recognition.training import teach_rehearsal as rehearsals
from action_recognition.training import teach_run, teach_whole
from action_recognition.training.action import distillation_loss, loss_of
from action_recognition.training.augment import Augmentation, Track
from action_recognition.training.teach import Base, TeachConfig, publish, teach
from action_recognition.training.teach_folds import folds_of, learnt_from

OLD = ('swim', 'fly', 'background')
GENTLE = Augmentation(flip=0.5, rotation=8.0, jitter=0.03, speed=1.2)
CONFIG = TeachConfig(copies=4, method='head', augmentation=GENTLE)


def moving(standing, label: str, source: str, seed: int, number: int = 0) -> SkeletonClip:
    """Somebody who waves an arm above the head, nods, or kicks."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(30, 40))
    phase = np.sin(np.arange(steps) * rng.uniform(0.4, 0.6) + rng.uniform(0, 6))
    xy = np.repeat(standing[None], steps, 0) * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20, 2)
    if label == 'wave':
        xy[:, Joint.RIGHT_WRIST] = xy[:, Joint.RIGHT_SHOULDER] + [-10, -50]
        xy[:, Joint.RIGHT_WRIST, 0] += 25 * phase
    elif label == 'nod':
        xy[:, Joint.NOSE, 1] += 12 * phase
    else:
        xy[:, Joint.LEFT_ANKLE] += np.stack([40 * np.abs(phase), -30 * np.abs(phase)], 1)
    xy += rng.normal(0, 0.5, xy.shape)
    return SkeletonClip(
        f'{label}/{source}_{number}',
        label,
        f'{label}/{source}',
        xy.astype(np.float32),
        np.ones((steps, 14), np.float32),
        np.arange(steps) * 33_333_333,
        (320, 240),
    )


@pytest.fixture
def clips(standing):
    """Five sources of each of two actions."""
    return [
        moving(standing, label, f'{source}', 10 * source + k)
        for k, label in enumerate(('wave', 'nod'))
        for source in range(5)
    ]


@pytest.fixture
def base_path(tmp_path, standing):
    """A small network that has seen nothing but how features are spread, and its statistics."""
    torch.manual_seed(0)
    model = create_model('online', len(OLD), units=32)
    x = [
        heads.collate(
            [
                Track.of(moving(standing, label, 's', 0))._replace(
                    target=np.zeros(len(moving(standing, label, 's', 0)), np.int64)
                )
            ],
            'online',
        ).x
        for label in ('wave', 'nod', 'kick')
    ]
    with torch.no_grad():
        for _ in range(20):
            for part in x:
                model(part)
    path = tmp_path / 'base.safetensors'
    header = weights.Header(
        'action', 'base', {'model': 'online', 'units': 32, 'temperature': 1.3}, OLD, licence='mine'
    )
    weights.save(path, model.state_dict(), header)
    kicks = [replace(moving(standing, 'kick', f'{k}', k), label=OLD[k % 2]) for k in range(8)]
    loaded = Base.load(str(path))
    samples = heads.samples_of(loaded.model, kicks, OLD[:2], GENTLE, 2, np.random.default_rng(0))
    statistics = rehearsals.measure(samples, OLD[:2], weights.digest(path))
    rehearsals.save(path.with_suffix('.rehearsal'), statistics)
    return path


@pytest.fixture
def base(base_path):
    return Base.load(str(base_path))


def unseen(standing):
    return [moving(standing, label, 'x', 500 + k) for k in range(6) for label in ('wave', 'nod')]


def said(taught, clips):
    return [taught.labels[int(a[-1].argmax())] for a in clip_logits(taught.model, clips)]


def test_a_few_clips_teach_what_new_people_do(clips, base, standing):
    taught = teach(clips, base, CONFIG)
    assert taught.labels == ('nod', 'wave', 'background')
    new = unseen(standing)
    assert said(taught, new) == [clip.label for clip in new]
    assert taught.figures['n'] == len(clips)
    assert taught.figures['accuracy'] > 0.8
    assert taught.alone == ()


def test_the_whole_network_learns_too(clips, base, standing, monkeypatch):
    monkeypatch.setattr(teach_whole, 'TEACHERS', 1)
    monkeypatch.setattr(teach_whole, 'STEPS', 40)
    monkeypatch.setattr(teach_whole, 'STUDENT_STEPS', 40)
    taught = teach(clips[:3] + clips[5:8], base, replace(CONFIG, method='whole'))
    new = unseen(standing)
    right = np.mean([a == clip.label for a, clip in zip(said(taught, new), new, strict=True)])
    assert right > 0.8
    assert list(taught.accuracy) == ['whole']
    before, after = base.model.state_dict(), taught.model.state_dict()
    assert not torch.equal(before['lstms.0.weight_hh_l0'], after['lstms.0.weight_hh_l0'])


def test_cross_validation_chooses_between_the_methods(clips, base, monkeypatch):
    monkeypatch.setattr(teach_whole, 'STEPS', 2)
    monkeypatch.setattr(teach_whole, 'STUDENT_STEPS', 2)
    taught = teach(clips, base, replace(CONFIG, method='auto'))
    assert set(taught.accuracy) == {'head 0.1', 'head 0.3', 'head 1', 'whole'}
    # Networks of two steps are no match for a head.
    assert taught.method.startswith('head')
    assert taught.accuracy[taught.method] == max(taught.accuracy.values())


@pytest.mark.parametrize(
    ('accuracy', 'asked', 'best'),
    [
        ({'head 0.1': 0.7, 'head 0.3': 0.7, 'head 1': 0.6}, 30, 'head 0.3'),
        ({'head 0.1': 0.75, 'head 0.3': 0.7, 'head 1': 0.6}, 30, 'head 0.1'),
        # One standard error of .8 in 25 answers is .08.
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.73}, 25, 'whole'),
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.71}, 25, 'head 0.1'),
        ({'head 0.1': 0.8, 'head 0.3': 0.7, 'whole': 0.73}, 400, 'head 0.1'),
        ({'whole': 0.1}, 10, 'whole'),
    ],
)
def test_a_head_must_be_clearly_better_than_the_whole(accuracy, asked, best):
    assert module.best_of(accuracy, 'head 0.3', asked) == best


def test_students_learn_what_their_teachers_answer(clips):
    config, sampler = teach_whole._samples(clips, ('nod', 'wave'), GENTLE)
    assert config.background == 0
    batch = next(sampler.batches(np.random.default_rng(0)))
    network, one, other = (create_model('online', 2, units=8).eval() for _ in range(3))
    config = replace(config, mixup=0.0)
    loss, hits = distillation_loss(network, [one, other], batch, config)
    with torch.no_grad():
        target = (one(batch.x).softmax(-1) + other(batch.x).softmax(-1)) / 2
        losses = -(target * network(batch.x).log_softmax(-1)).sum(-1)
    expected = []
    for k, scored in enumerate(batch.mask):
        time = batch.x[k, scored, ELAPSED].cumsum(0)
        share = 1 - torch.exp(-(time - time[0] + 0.03) / config.settling_time)
        mean = (losses[k, scored] * share).sum() / share.sum()
        expected.append(0.7 * mean + 0.3 * losses[k, scored][-1])
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    assert hits == loss_of(network, batch, config)[1]


def test_a_seed_repeats_a_training(clips, base):
    one, two, other = (teach(clips, base, replace(CONFIG, seed=seed)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            one.model.state_dict().values(), two.model.state_dict().values(), strict=True
        )
    )
    assert one.model.temperature == two.model.temperature
    assert not torch.equal(one.model.dense.weight, other.model.dense.weight)


def test_old_actions_are_rejected_or_kept(clips, base, standing, monkeypatch):
    # This base knows nothing, so what it takes new actions for says nothing either.
    monkeypatch.setattr(module, 'SAME', 2.0)
    kicks = [moving(standing, 'kick', 'y', 900 + k) for k in range(6)]
    rejected, blind = (
        said(teach(clips, each, CONFIG), kicks) for each in (base, replace(base, rehearsal=None))
    )
    assert rejected.count('background') > max(blind.count('background'), len(kicks) / 2)
    kept = teach(clips, base, replace(CONFIG, keep=True))
    assert kept.labels == (*OLD, 'nod', 'wave')
    # What the base says of its own classes among themselves stays.
    old = [a[:, :3] for a in clip_logits(kept.model, kicks)]
    for mine, theirs in zip(old, clip_logits(base.model, kicks), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    new = unseen(standing)
    right = np.mean([a == clip.label for a, clip in zip(said(kept, new), new, strict=True)])
    assert right > 0.8
    assert not {'nod', 'wave'} & set(said(kept, kicks))


def test_without_statistics_nothing_can_be_kept(clips, base_path):
    base_path.with_suffix('.rehearsal').unlink()
    with pytest.raises(UserError, match=r'cannot keep its classes: there is no base\.rehearsal'):
        teach(clips, Base.load(str(base_path)), replace(CONFIG, keep=True))


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


def test_drawn_features_have_the_statistics_that_were_measured():
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 1, (8, 8))
    x = rng.normal(0, 1, (4000, 8)) @ mix + 5 * np.eye(2, 8)[np.arange(4000) % 2]
    samples = heads.Samples(
        torch.tensor(x, dtype=torch.float32),
        torch.arange(4000) % 2,
        torch.zeros(4000, dtype=torch.long),
        torch.ones(4000),
    )
    found = rehearsals.measure(samples, ('a', 'b'), '')
    drawn = found.draw('b', 20000, rng).numpy()
    np.testing.assert_allclose(drawn.mean(0), x[1::2].mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x[1::2].T), atol=0.8)


def test_statistics_of_other_weights_are_refused(base_path):
    header, state = weights.load(base_path, 'action')
    weights.save(base_path, {**state, 'classifier.bias': torch.ones(3)}, header)
    with pytest.raises(UserError, match='belongs to other weights'):
        Base.load(str(base_path))


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


def test_nothing_of_a_clip_that_is_held_out_reaches_the_head(clips, base):
    base = replace(base, rehearsal=None)
    xy = clips[2].xy.copy()
    xy[:, Joint.LEFT_WRIST] += [30, -40]
    others = [*clips[:2], replace(clips[2], xy=xy), *clips[3:]]
    one, other = (module._Problem(each, ('nod', 'wave'), base, CONFIG) for each in (clips, others))
    rows = np.delete(np.arange(len(clips)), 2)
    torch.testing.assert_close(one.head(0.3, rows).weight, other.head(0.3, rows).weight)
    rows = np.arange(len(clips))
    assert not torch.allclose(one.head(0.3, rows).weight, other.head(0.3, rows).weight)


# --- folds ----------------------------------------------------------------------------------


def test_no_source_is_in_two_folds_and_every_class_is_learnt_in_each(standing):
    clips = [
        moving(standing, label, f'{k % 4}', k, k) for label in ('wave', 'nod') for k in range(9)
    ]
    folds = folds_of(clips, 3)
    by_source = {}
    for clip, fold in zip(clips, folds, strict=True):
        assert by_source.setdefault(clip.group, fold) == fold
    for fold in set(folds):
        left = {clip.label for clip, f in zip(clips, folds, strict=True) if f != fold}
        assert left == {'wave', 'nod'}
    assert len(set(folds)) == 4


def test_a_class_of_one_source_is_only_learnt_from(clips, base, standing):
    alone = [moving(standing, 'kick', 'only', 70 + k, k) for k in range(3)]
    folds = folds_of([*clips, *alone], 0)
    assert (folds[-3:] == -1).all()
    assert (folds[:-3] >= 0).all()
    taught = teach([*clips, *alone], base, CONFIG)
    assert taught.alone == ('kick',)
    assert {clip.label for clip in taught.asked} == {'wave', 'nod'}


@pytest.fixture
def shared(standing):
    """Two films: one shows a wave and nods, and only it a wave; the other nods and kicks."""
    films = (('wave', 'a'), ('nod', 'a'), ('nod', 'b'), ('kick', 'b'))
    return [
        replace(moving(standing, label, film, 10 * k, k), group=film)
        for k, (label, film) in enumerate(films)
    ]


def test_what_is_in_no_fold_is_not_learnt_while_its_source_is_asked_about(shared, base):
    folds = folds_of(shared, 0)
    assert sorted(folds[1:3]) == [0, 1]
    assert folds[[0, 3]].tolist() == [-1, -1]
    for row, rest in ((1, [2, 3]), (2, [0, 1])):
        assert learnt_from(shared, folds, folds[row]).tolist() == rest
    problem = module._Problem(shared, ('kick', 'nod', 'wave'), base, CONFIG)
    (answer, _) = problem.out_of_fold('head 0.3', folds, [1, 2])
    expected = problem.head(0.3, np.array([2, 3])).logits(problem.whole[1])
    np.testing.assert_allclose(answer, expected.numpy(), atol=1e-4)
    assert np.isfinite(answer).all()  # though no wave is known


def test_with_no_class_of_two_sources_there_are_no_figures(standing, base):
    clips = [moving(standing, label, 'one', k, k) for label in ('wave', 'nod') for k in range(3)]
    taught = teach(clips, base, CONFIG)
    assert taught.figures == {}
    assert taught.model.temperature == pytest.approx(1.3)


def test_advice_tells_why_a_class_was_not_cross_validated(clips, base, standing):
    # The film of both actions joins the smaller of the others: both waves fall into one fold.
    films = [('wave', 'a')] * 3 + [('nod', 'b')] * 4 + [('wave', 'ab'), ('nod', 'ab')]
    films.append(('kick', 'c'))
    few = [
        replace(moving(standing, label, film, k, k), group=film)
        for k, (label, film) in enumerate(films)
    ]
    taught = teach(few, base, CONFIG)
    assert taught.alone == ('kick', 'wave')
    kick, wave = teach_run.advice(taught, few)[:2]
    assert kick.startswith('`kick` has one source only and was not cross-validated')
    assert wave.startswith('`wave` has 2 sources, which show other classes as well and fell into')


@pytest.mark.parametrize(
    ('name', 'same'),
    [('none', {}), ('background', {}), ('stand', {'nod': 'stand', 'wave': 'stand'})],
)
def test_an_action_is_never_the_same_as_nothing(clips, base, name, same):
    header = replace(base.header, labels=('swim', 'fly', name))
    base = replace(base, header=header, rehearsal=None)
    with torch.no_grad():
        base.model.classifier.weight.zero_()
        base.model.classifier.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    assert module._Problem(clips, ('nod', 'wave'), base, CONFIG).same == same


# --- from recordings to weights -------------------------------------------------------------


def write(folder, clips):
    for clip in clips:
        path = folder / f'{clip.name}.npz'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, xy=clip.xy, score=clip.score, stamps=clip.stamps, image_size=clip.image_size)


def test_a_folder_becomes_weights_that_stream_and_a_report(clips, base_path, tmp_path, standing):
    write(tmp_path / 'data', [replace(c, name=f'{c.label}/s{c.group[-1]}a') for c in clips])
    (tmp_path / 'data' / 'wave' / 'broken.npz').write_bytes(b'nothing')
    out = tmp_path / 'out'
    config = replace(CONFIG, base=str(base_path), name='mine')
    found = teach_run.run(tmp_path / 'data', out, config, JointCache(tmp_path), poses=True)
    assert list(found['skipped']) == ['wave/broken']
    header = weights.read_header(out / 'mine.safetensors', 'action')
    assert header.labels == ('nod', 'wave', 'background')
    assert header.metrics['cross_validation_n'] == 10
    assert header.training['clips'] == {'nod': 5, 'wave': 5}
    assert 'mine' in header.licence
    assert json.loads((out / 'figures.json').read_text())['accuracy'] == found['accuracy']
    text = (out / 'report.md').read_text()
    assert 'wave/broken' in text
    assert '| wave | 5 | 5 |' in text
    assert (out / 'confusion.png').is_file()
    recognizer = StreamingRecognizer.from_weights(str(out / 'mine.safetensors'))
    clip = moving(standing, 'wave', 'x', 999)
    for k in range(len(clip)):
        (estimate,) = recognizer.update(clip.poses(k))
    assert recognizer.labels[int(estimate.scores.argmax())] == 'wave'


def test_weights_written_answer_as_those_in_memory(clips, base, tmp_path, standing):
    taught = teach(clips, base, CONFIG)
    publish(taught, clips, base, CONFIG, tmp_path / 'taught.safetensors')
    loaded = Base.load(str(tmp_path / 'taught.safetensors')).model
    new = unseen(standing)
    pairs = zip(clip_logits(taught.model, new), clip_logits(loaded, new), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=0.05)  # matrices are kept in half precision


def test_an_output_folder_that_is_used_is_refused_before_any_work(base_path, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'precious').touch()
    with pytest.raises(UserError, match='out exists: give another folder with --out'):
        teach_run.run(tmp_path / 'nothing', out, CONFIG, JointCache(tmp_path))


def test_one_action_is_not_enough(clips, base):
    with pytest.raises(UserError, match="only 'wave'"):
        teach(clips[:5], base, CONFIG)


@pytest.mark.parametrize(
    'wrong', [{'method': 'magic'}, {'keep': True, 'method': 'whole'}, {'name': 'a/b'}, {'seed': -1}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(UserError):
        replace(CONFIG, **wrong)


def test_the_paper_model_is_no_base():
    with pytest.raises(UserError, match='not a streaming recogniser'):
        Base.load('paper_union32')


def test_embedding_and_answer_are_the_network():
    model = OnlineRecognizer(3, units=8).eval()
    x = torch.randn(2, 6, ONLINE_FEATURES)
    assert torch.equal(model.answer(model.embed(x)), model(x))
