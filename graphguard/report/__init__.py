"""The morning page: one self-contained HTML file about a night, and its machine-readable twin."""
