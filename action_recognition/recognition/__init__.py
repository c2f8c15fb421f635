"""From joints to action probabilities: features, models, streaming, labels."""
