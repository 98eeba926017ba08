"""Proofs that a user can run: no leak, incremental equals rebuild, and what a night will need."""
