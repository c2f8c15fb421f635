"""Training loops: the pose network and the recognisers."""
