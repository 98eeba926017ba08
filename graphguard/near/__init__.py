"""Nearly equal things: texts by MinHash, pictures by the bits of their hashes."""
