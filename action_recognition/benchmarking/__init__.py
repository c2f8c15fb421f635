"""Other recognisers trained beside ours on the same clips, and the time each takes per frame."""
