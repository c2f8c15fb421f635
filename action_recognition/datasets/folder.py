"""A user's own recordings: one folder of videos per action, `<class>/<clip>.mp4`."""

from __future__ import annotations

from pathlib import Path

from action_recognition.datasets.clips import natural_key
from action_recognition.errors import UserError

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm')
LAYOUT = f'folders named after actions, each with videos ({", ".join(VIDEO_SUFFIXES)})'


def load_folder(root: Path) -> list[tuple[str, Path]]:
    """(label, video) of every `<root>/<label>/<clip>`, sorted by label, then naturally by clip.

    Hidden folders and files of other kinds are passed over.

    Raises:
        UserError: `root` is missing or holds no videos in this layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f'{root} is not a folder; expected {LAYOUT}')
    clips = [
        (folder.name, path)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith('.')
        for path in sorted(folder.iterdir(), key=natural_key)
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith('.')
    ]
    if not clips:
        raise UserError(f'{root} holds no <class>/<clip> videos; expected {LAYOUT}')
    return clips
