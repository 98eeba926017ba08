"""Stored tables: immutable folders with manifests, a workspace of runs, and the id dictionary."""
