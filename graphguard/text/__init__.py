"""Text: what posts say, beyond their length (empty until content understanding lands)."""
