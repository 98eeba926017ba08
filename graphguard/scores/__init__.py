"""Scores a user or ring carries to the policy, and the reasons for them in plain words."""
