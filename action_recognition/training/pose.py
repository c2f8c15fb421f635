"""Training of the pose network: `action-recognition train pose`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from action_recognition import weights
from action_recognition.datasets.people import Person, jhmdb_people, lspet_people
from action_recognition.errors import UserError
from action_recognition.evaluation.pose import MapPck, ask
from action_recognition.pose.backbone import STRIDE
from action_recognition.pose.estimator import EstimatorConfig, create_estimator, load_network
from action_recognition.pose.heads import PoseNetwork, normalise, place
from action_recognition.pose.targets import encode, loss
from action_recognition.training.loop import (
    Curves,
    Ema,
    cosine,
    load_checkpoint,
    read_progress,
    recipe,
    require_data,
    require_recipe,
    save_checkpoint,
    seed_everything,
)
from action_recognition.training.pose_calibration import fit_score
from action_recognition.training.pose_config import PoseConfig
from action_recognition.training.pose_data import PoseDataset
from action_recognition.training.pose_sides import without_doubtful_sides

LICENCE = 'Trained on LSP-extended and JHMDB (research only); teacher joints from MoveNet.'
#: The loss is a sum over the whole map: its gradient is long, but not longer than this.
MAX_GRADIENT = 2000.0


def grow(small: PoseNetwork, stages: int) -> PoseNetwork:
    """The same network with more stages; each new one begins as a copy of the last.

    From a single stage nothing can be copied, for the second is the first that takes maps in: it
    keeps its random start.
    """
    network = PoseNetwork(stages)
    state = network.state_dict()
    old = small.state_dict()
    last = len(small.joint_stages) - 1
    for key in state:
        source = key
        branch, _, rest = key.partition('.')
        if branch.endswith('_stages'):
            number, _, rest = rest.partition('.')
            if int(number) > last > 0:
                source = f'{branch}.{last}.{rest}'
        state[key] = old.get(source, state[key]).clone()
    network.load_state_dict(state)
    return network


def trained(model: str, stages: int) -> PoseNetwork:
    """The network of a published name or weights file, cut or grown to a number of stages.

    Raises:
        UserError: there are no such weights, or they are of something else.
    """
    network = load_network(model).network
    network.keep_stages(stages)
    return grow(network, stages)


def images_seen(path: Path) -> int:
    """How many images the pose weights of a file have learnt from, by its header.

    Raises:
        UserError: the file is no pose weights, or its header does not say so in numbers.
    """
    images = weights.read_header(path, 'pose').training.get('images', 0)
    if not isinstance(images, int):
        raise UserError(f'{path} has a damaged header (images of training: {images!r:.60})')
    return images


class Trainer:
    """The state of a training run, and one step of it.

    Attributes:
        seen: images it has learnt from.
        seen_before: images that the weights it began with had learnt from.
        data: what tells its data from others, for its checkpoints and its weights.
        ema: the averaged network, which is validated and published.
    """

    def __init__(self, config: PoseConfig, device: torch.device, network: PoseNetwork) -> None:
        self.config = config
        self.device = device
        self.seen = self.seen_before = 0
        self.data: dict[str, Any] = {}
        if config.start_from:
            start = weights.find(config.start_from)
            self.data['weights of start_from'] = weights.digest(start)
            self.seen_before = images_seen(start)
        self.joint_weights = config.weights(device)
        self._set(network)

    @classmethod
    def begin(cls, config: PoseConfig, device: torch.device) -> Trainer:
        """A new run, from a random start or from the weights that the config names.

        Raises:
            UserError: there are no such weights.
        """
        seed_everything(config.seed)
        stages = config.phases[0].stages
        start = trained(config.start_from, stages) if config.start_from else PoseNetwork(stages)
        return cls(config, device, start)

    def _set(self, network: PoseNetwork, average: PoseNetwork | None = None) -> None:
        self.network = place(network, self.device)
        self.ema = Ema(place(average, self.device) if average else self.network, self.config.ema)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=self.config.weight_decay
        )

    @property
    def stages(self) -> int:
        return len(self.network.joint_stages)

    def grow(self, stages: int) -> None:
        """Go on with more stages and a fresh optimiser; do nothing if they are there already."""
        if stages > self.stages:
            updates = self.ema.updates
            grown = []
            for network in (self.network, self.ema.model):
                # The same new stage in both, and after a resume.
                seed_everything(self.config.seed, stages)
                grown.append(grow(network, stages))
            self._set(*grown)
            self.ema.updates = updates

    def step(self, image: Tensor, xy: Tensor, labelled: Tensor) -> float:
        """Learn from a batch of `PoseDataset` items; returns the loss (equation 1) per stage."""
        cells = image.shape[1] // STRIDE
        targets = encode(xy.to(self.device), labelled.to(self.device), (cells, cells))
        rate = cosine(self.seen / self.config.images, self.config.warm_up)
        for group in self.optimiser.param_groups:
            group['lr'] = self.config.learning_rate * rate
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.network(normalise(image.to(self.device)))
        cost = loss(outputs, targets, self.joint_weights, self.config.limb_weight)
        self.optimiser.zero_grad(set_to_none=True)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT)
        self.optimiser.step()
        self.ema.update(self.network)
        self.seen += len(image)
        return float(cost.detach()) / self.stages

    def save(self, folder: Path, measured: int) -> None:
        """Checkpoint everything that a resumed run needs."""
        progress = {
            'seen': self.seen,
            'measured': measured,
            'stages': self.stages,
            'recipe': _recipe(self.config),
            'data': self.data,
        }
        save_checkpoint(folder, self.network, self.ema, self.optimiser, progress)

    @classmethod
    def resume(cls, config: PoseConfig, device: torch.device, folder: Path) -> tuple[Trainer, int]:
        """A run where `save` left it, and how many rows its curves had.

        Raises:
            UserError: there is no checkpoint, or it is of another config or other weights to start
                from.
        """
        progress = read_progress(folder)
        require_recipe(folder, progress, _recipe(config))
        seed_everything(config.seed)
        trainer = cls(config, device, PoseNetwork(progress['stages']))
        require_data(folder, progress, trainer.data)
        trainer.data = {**progress.get('data', {}), **trainer.data}
        load_checkpoint(folder, trainer.network, trainer.ema, trainer.optimiser)
        trainer.seen = progress['seen']
        return trainer, progress['measured']


def _recipe(config: PoseConfig) -> dict[str, Any]:
    return recipe(config, 'name', 'licence', 'threads', 'workers', 'validate_every', 'check_size')


def batches(people: list[Person], config: PoseConfig, seen: int) -> Iterator[list[Tensor]]:
    """Batches of the phase that begins or goes on after `seen` images, until it ends.

    Each pass over the data is shuffled and augmented by the seed and the images seen before it,
    so that a run that was cut within one goes on exactly.

    Raises:
        UserError: there are fewer people than a batch holds.
    """
    phase, end = config.phase_at(seen)
    size_range = phase.size_range or config.augmentation.size_range
    augmentation = replace(config.augmentation, size_range=size_range)
    whole = len(people) // config.batch * config.batch
    if not whole:
        raise UserError(f'{len(people)} people are fewer than a batch of {config.batch}')
    while seen < end:
        done = (seen - config.begin_of_phase(seen)) % whole
        seed = config.seed + seen - done
        order = torch.randperm(len(people), generator=torch.Generator().manual_seed(seed)).tolist()
        loader = DataLoader(
            PoseDataset(people, phase.size, augmentation, seed),
            config.batch,
            sampler=order[done:whole],
            num_workers=config.workers,
            pin_memory=torch.cuda.is_available(),
        )
        for batch in loader:
            yield batch
            seen += config.batch
            if seen >= end:
                return


def run(config_path: Path, data: Path, out: Path, resume: bool = False) -> Path:
    """Train by a config, leaving a checkpoint, `curves.csv` and the weights in `out`.

    Args:
        data: the folder that holds `lspet/` and `jhmdb/`.

    Returns:
        Path of the weights file.

    Raises:
        UserError: the config or the data cannot be used, or there is nothing to resume.
    """
    config = PoseConfig.load(config_path)
    torch.set_num_threads(config.threads)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    out.mkdir(parents=True, exist_ok=True)
    trainer, measured = (
        Trainer.resume(config, device, out) if resume else (Trainer.begin(config, device), 0)
    )
    people = lspet_people(data / 'lspet', 'train')
    if config.start_from:
        people = believed(people, config, device)
        trainer.data['labels doubted at'] = config.check_size
    people += jhmdb_people(data / 'jhmdb', 'train', config.jhmdb_every, teacher=True)
    trainer.data['people to learn from'] = len(people)
    if resume:
        require_data(out, read_progress(out), trainer.data)
    validation = lspet_people(data / 'lspet', 'validation')
    curves = Curves(out / 'curves.csv', measured)
    costs: list[float] = []
    with tqdm(total=config.images, initial=trainer.seen, unit='image') as bar:
        while trainer.seen < config.images:
            phase, _ = config.phase_at(trainer.seen)
            trainer.grow(phase.stages)
            for batch in batches(people, config, trainer.seen):
                costs.append(trainer.step(*batch))
                bar.update(len(batch[0]))
                if trainer.seen % config.validate_every < config.batch:
                    pck = MapPck(trainer.ema.model, device, phase.size)(validation)
                    measured += 1
                    bar.set_postfix(loss=np.mean(costs), pck=pck)
                    curves.add(measured, images=trainer.seen, loss=float(np.mean(costs)), pck=pck)
                    costs.clear()
                    trainer.save(out, measured)
    trainer.save(out, measured)
    path = publish(trainer, out, validation)
    calibrate(path, validation, config.check_size)
    return path


def believed(people: list[Person], config: PoseConfig, device: torch.device) -> list[Person]:
    """The people less the labels that the network which the training starts from doubts.

    All of its own stages are asked: what a phase adds to them has learnt nothing yet.
    """
    network = place(load_network(config.start_from).network, device)
    people, doubtful = without_doubtful_sides(people, network, device, config.check_size)
    arms, legs = doubtful.sum(0)
    tqdm.write(f'left and right in doubt: arms of {arms}, legs of {legs} of {len(doubtful)} people')
    return people


def publish(trainer: Trainer, out: Path, people: list[Person]) -> Path:
    """Write the averaged network as a weights file that every node loads.

    Convolutions are kept in half precision. Vectors are small, and half precision would not hold
    each of them: a variance of a batch norm may be beyond its range.

    Args:
        people: held out; the header tells the PCK that the file itself has on them.
    """
    config = trainer.config
    path = out / f'{config.name}.safetensors'
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    seen = {'images': trainer.seen_before + trainer.seen, 'data': trainer.data}
    header = weights.Header(
        kind='pose',
        name=config.name,
        config={'stages': trainer.stages},
        training={**seen, **settings},
        licence=config.licence or LICENCE,
    )
    average = trainer.ema.model.state_dict().items()
    state = {key: value.half() if value.ndim > 1 else value for key, value in average}
    weights.save(path, state, header)
    network = place(load_network(str(path)).network, trainer.device).eval()
    pck = MapPck(network, trainer.device, config.check_size)(people)
    metrics = {f'lspet_validation_map_pck_limb12_at_{config.check_size}': round(pck, 4)}
    weights.save(path, state, replace(header, metrics=metrics))
    return path


def calibrate(path: Path, people: list[Person], input_size: int) -> None:
    """Write into a weights file what the scores of its joints mean, fitted to people held out."""
    header, state = weights.load(path, 'pose')
    weights.save(path, state, replace(header, calibration={}))
    estimator = create_estimator(str(path), 'auto', EstimatorConfig(input_size, runtime='torch'))
    answers = [ask(estimator, person) for person in tqdm(people, unit='image', desc='scores')]
    estimator.close()
    score = np.stack([answer.score for answer in answers])
    right = np.stack([answer.right for answer in answers])
    if ((score > 0) & np.isfinite(right)).any():
        calibration = fit_score(score, right).to_header()
        weights.save(path, state, replace(header, calibration=calibration))
