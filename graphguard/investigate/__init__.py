"""Questions to a committed run: expansion from a seed, explanation of a user."""
