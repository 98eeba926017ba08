"""Worlds: made-up platforms with a hard normal life, six kinds of rings, and the truth beside."""

from graphguard.worlds.spec import WORLD_VERSION, WorldSpec, WorldSummary
from graphguard.worlds.write import write_world

__all__ = ["WORLD_VERSION", "WorldSpec", "WorldSummary", "write_world"]
