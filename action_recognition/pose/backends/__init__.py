"""Pose estimators of others behind the interface of ours; docs/backends.md."""
