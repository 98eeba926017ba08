"""How good scores are: metrics on arrays, intervals, splits and drift."""
