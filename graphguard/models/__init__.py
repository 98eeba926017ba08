"""Models that say how likely a row is to be enforced, and how to trust them."""
