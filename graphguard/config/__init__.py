"""Configuration: one pydantic model a section, read from YAML; unknown keys are refused."""
