"""What a night decided, in numbers and in words."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DecisionSummary:
    """Counts of one night; `as_json` goes into run.json and the report."""

    policy_id: str
    decided: dict[str, int]
    """Users per action, held out ones included; every action of the policy is named."""
    held_out: dict[str, int]
    """Of these, users decided but kept from action."""
    renewed: dict[str, int]
    """Of these, users whose standing decision was decided again."""
    skipped: dict[str, int]
    """Scored users left out: `exempt`, `enforced`, `min_age`, `cool_down`."""
    unknown_age: int
    """Scored users whose birth is unknown while `min_age` asks for it; not held back."""
    thresholds: dict[str, float | None]
    """Score each action needed; None for a budget alone and for an action that is off."""
    off: dict[str, str]
    """Why an action took nobody, by action."""
    active_users: int
    acted: int
    """Users decided and not held out."""
    max_action_rate: float

    @property
    def action_rate(self) -> float:
        """Users acted on over users active in the window; 0 where nobody was active."""
        return self.acted / self.active_users if self.active_users else 0.0

    def as_json(self) -> dict[str, Any]:
        """All counts and the action rate as plain values."""
        return {**asdict(self), "action_rate": self.action_rate}

    def text(self) -> str:
        """The night in words: a line per action, then who was left out and the action rate."""
        lines = [f"policy {self.policy_id}"]
        lines += [self._line(action) for action in self.decided]
        left = ", ".join(f"{count} {rule}" for rule, count in self.skipped.items())
        lines.append(f"  left out: {left}; {self.unknown_age} of unknown age not held back")
        lines.append(
            f"  acted on {self.acted} of {self.active_users} active users "
            f"({self.action_rate:.2%}, limit {self.max_action_rate:.2%})"
        )
        return "\n".join(lines) + "\n"

    def _line(self, action: str) -> str:
        if action in self.off:
            return f"  {action}: off: {self.off[action]}"
        bar = self.thresholds[action]
        need = "highest first" if bar is None else f"at {bar:.4f} or above"
        return (
            f"  {action}: {self.decided[action]} users {need}, "
            f"{self.held_out[action]} held out, {self.renewed[action]} renewed"
        )
