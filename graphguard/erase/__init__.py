"""Erasure: take entities out of all days, runs and exports, and prove that no trace is left."""
