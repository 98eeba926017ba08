"""Features: what tells an abuser from a user, one module a theme, one function a column."""
