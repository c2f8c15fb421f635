"""From an image to the 14-joint skeletons of the people in it (paper, section 3)."""
