"""From scores to decisions: which action a user gets, and every reason why it gets none."""
