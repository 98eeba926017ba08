"""What each action of the policy needs tonight: its score bar, or the reason why it is off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphguard.config.policy import ActionConfig, PolicyConfig
from graphguard.tables.files import fingerprint


@dataclass(frozen=True)
class Rule:
    """One action as it stands tonight."""

    action: ActionConfig
    threshold: float | None
    """Smallest score that is acted on; None for a budget alone."""
    off: str | None
    """Why the action takes nobody tonight; None when it is on."""

    @property
    def review(self) -> bool:
        """Whether people look before anything happens to the user."""
        return is_review(self.action.name)


def is_review(action: str) -> bool:
    """Whether an action only asks people to look: its name is `review` or starts with `review_`.

    >>> [is_review(name) for name in ("review", "review_payment", "suspend", "reviewed")]
    [True, True, False, False]
    """
    return action == "review" or action.startswith("review_")


def policy_id(policy: PolicyConfig) -> str:
    """Sixteen hexadecimal digits that name the content of the policy section."""
    return fingerprint(policy.model_dump(mode="json"))


def blocked_actions(gates: Sequence[str], policy: PolicyConfig) -> dict[str, str]:
    """Actions that may not leave while a gate is red: all but reviews.

    Args:
        gates: Names of the red gates, such as `drift` or `volume`; empty when all are green.
        policy: The policy whose actions are asked about.

    Returns:
        The reason by name of each blocked action; empty without a red gate.

    Precision was certified on days that looked like the past; a red gate says tonight does not,
    so no promise holds and a person must look first.
    """
    if not gates:
        return {}
    names = sorted(set(gates))
    verb = "gates are" if len(names) > 1 else "gate is"
    reason = (
        f"{verb} red ({', '.join(names)}); only reviews may leave until the inputs are explained"
    )
    return {one.name: reason for one in policy.actions if not is_review(one.name)}


def tonights_rules(
    policy: PolicyConfig, certified: Mapping[str, float | None], gates: Sequence[str]
) -> tuple[Rule, ...]:
    """Settle the bar of each action, hardest first.

    Args:
        policy: The policy section.
        certified: For each action with a `precision`, the threshold at which held-out data prove
            it, or None where no threshold does.
        gates: Names of the red gates.

    Returns:
        One rule an action, in the policy's order.
    """
    blocked = blocked_actions(gates, policy)
    return tuple(_rule(one, certified, blocked.get(one.name)) for one in policy.actions)


def _rule(action: ActionConfig, certified: Mapping[str, float | None], off: str | None) -> Rule:
    if action.precision is None:
        return Rule(action, action.threshold, off)
    threshold = certified.get(action.name)
    if threshold is None and off is None:
        off = (
            f"precision {action.precision:g} cannot be promised with confidence "
            f"{action.confidence:g} on the held-out rows; lower it, or certify on more labels"
        )
    return Rule(action, threshold, off)
