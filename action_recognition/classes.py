"""Names of classes that mean more than an action: those that stand for no action."""

from __future__ import annotations

from collections.abc import Sequence

#: The class of our models in which nobody does anything of interest.
BACKGROUND_LABEL = 'background'
#: All names of such a class, ours and those of data sets.
BACKGROUND = (BACKGROUND_LABEL, 'none')


def background(classes: Sequence[str]) -> int | None:
    """Index of the class that stands for no action, None if all classes are actions."""
    return next((k for k, name in enumerate(classes) if name in BACKGROUND), None)
