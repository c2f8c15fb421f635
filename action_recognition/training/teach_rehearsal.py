"""What a recogniser remembers of its training without the data: statistics of its features.

Beside weights `<name>.safetensors` may lie `<name>.rehearsal`: for each class the mean of the
features (`OnlineRecognizer.embed`), and what all classes deviate from their means. New classes are
learnt against features drawn from these Gaussians, so that old actions are still told apart from
them, without a single clip of the old data (prototype rehearsal: Zhu et al. 2021, CVPR, "Prototype
augmentation and self-supervision for incremental learning").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from action_recognition.errors import UserError
from action_recognition.training.teach_head import Samples

SUFFIX = '.rehearsal'
METADATA_KEY = 'action_recognition_rehearsal'
#: Directions of the common deviations that are kept; the rest is noise of each feature alone.
DIRECTIONS = 48


@dataclass(frozen=True)
class Rehearsal:
    """Gaussians of the features of classes.

    Attributes:
        labels: of the classes.
        mean: (classes, features).
        directions: (directions, features) of the deviations that all classes have, scaled.
        noise: (features,) deviation beside these directions.
        of: SHA-256 of the weights whose features they are.
    """

    labels: tuple[str, ...]
    mean: Tensor
    directions: Tensor
    noise: Tensor
    of: str

    def draw(self, label: str, count: int, rng: np.random.Generator) -> Tensor:
        """(count, features) of a class."""
        along = torch.from_numpy(rng.standard_normal((count, len(self.directions)), np.float32))
        beside = torch.from_numpy(rng.standard_normal((count, len(self.noise)), np.float32))
        return self.mean[self.labels.index(label)] + along @ self.directions + beside * self.noise


def measure(samples: Samples, labels: Sequence[str], of: str) -> Rehearsal:
    """The statistics of labelled features.

    Args:
        samples: labelled with indices of `labels`, each of which has some.
        of: as in `Rehearsal`.
    """
    x, weight = samples.x.double(), samples.weight.double()
    means = []
    for k in range(len(labels)):
        rows = samples.label == k
        means.append((weight[rows] @ x[rows]) / weight[rows].sum())
    mean = torch.stack(means)
    off = x - mean[samples.label]
    covariance = (off * weight[:, None]).T @ off / weight.sum()
    values, vectors = torch.linalg.eigh(covariance)
    kept = min(DIRECTIONS, len(values))
    directions = (vectors[:, -kept:] * values[-kept:].clamp(min=0).sqrt()).T
    noise = (covariance.diagonal() - directions.square().sum(0)).clamp(min=0).sqrt()
    return Rehearsal(tuple(labels), mean.float(), directions.float(), noise.float(), of)


def save(path: Path, rehearsal: Rehearsal) -> None:
    """Write the statistics as safetensors, in half precision."""
    from safetensors.torch import save_file

    tensors = {
        name: getattr(rehearsal, name).half().contiguous()
        for name in ('mean', 'directions', 'noise')
    }
    header = {'labels': rehearsal.labels, 'of': rehearsal.of}
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(header)})
    path.chmod(0o644)


def load(weights_path: Path, of: str, features: int) -> Rehearsal | None:
    """The statistics beside a weights file, None if there are none.

    Args:
        of: SHA-256 of these weights.
        features: how many they have.

    Raises:
        UserError: the file is damaged, or of other weights.
    """
    from safetensors import SafetensorError, safe_open

    path = weights_path.with_suffix(SUFFIX)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework='pt') as file:
            header = json.loads((file.metadata() or {})[METADATA_KEY])
            labels, of_these = tuple(header['labels']), header['of']
            found = {k: file.get_tensor(k).float() for k in ('mean', 'directions', 'noise')}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{path} is damaged ({reason}): delete it') from error
    if of_these != of:
        raise UserError(f'{path} belongs to other weights than {weights_path}: delete it')
    shapes = {k: tuple(v.shape[-1:]) for k, v in found.items()}
    fits = found['mean'].ndim == 2 and len(found['mean']) == len(labels)
    if not fits or set(shapes.values()) != {(features,)}:
        raise UserError(f'{path} does not fit {weights_path}: delete it')
    return Rehearsal(labels, of=of, **found)
