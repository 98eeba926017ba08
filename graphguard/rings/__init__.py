"""Coordination: links in time and by sharing, their significance, rings and their names."""
