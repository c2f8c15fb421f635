"""Who is who from one image to the next."""

from action_recognition.tracking.similarity import oks
from action_recognition.tracking.tracker import Tracker, TrackerConfig

__all__ = ['Tracker', 'TrackerConfig', 'oks']
