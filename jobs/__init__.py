"""The stages of a night, one module a stage, and the command line that runs them."""
