"""Settings of the policy: from scores to decisions."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from graphguard.config.values import DurationSetting, Section, parse_duration


class ActionConfig(Section):
    """One action of the policy."""

    name: str
    """What the enforcement system is asked to do."""
    score: Literal["risk_score", "ring_risk"] = "risk_score"
    """Score the action reads."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Smallest score that is acted on."""
    precision: float | None = Field(None, gt=0, lt=1)
    """Precision that must hold on held-out data; the threshold follows from it."""
    confidence: float = Field(0.9, gt=0, lt=1)
    """Confidence with which `precision` must hold."""
    budget: int | None = Field(None, ge=1)
    """Largest number of users a night, the highest scores first."""
    holdout: float = Field(0.0, ge=0, lt=1)
    """Share of users decided but not acted on, so that precision stays measurable."""
    severe: bool = False
    """Whether the action harms a wronged user much; then no holdout and no automatic doubt."""
    expires: DurationSetting = parse_duration("30d")
    """How long the decision stands."""

    @model_validator(mode="after")
    def _one_rule(self) -> "ActionConfig":
        if self.threshold is None and self.precision is None and self.budget is None:
            message = f"action '{self.name}' needs a threshold, a precision or a budget"
            raise ValueError(message)
        if self.threshold is not None and self.precision is not None:
            message = f"action '{self.name}' has both a threshold and a precision; keep one"
            raise ValueError(message)
        if self.severe and self.holdout > 0:
            message = f"action '{self.name}' is severe, so holdout must be 0, got {self.holdout}"
            raise ValueError(message)
        return self


class PolicyConfig(Section):
    """From scores to decisions."""

    actions: tuple[ActionConfig, ...] = (ActionConfig(name="review", budget=200),)
    """Actions from hardest to softest; a user gets the first that applies."""
    review_budget: int = Field(200, ge=1)
    """Users that people can read in a night."""
    max_action_rate: float = Field(0.02, gt=0, le=1)
    """Largest share of active users that a night may act on; above it nothing is committed."""
    exempt: tuple[str, ...] = ()
    """Keys of users that are never acted on."""
    min_age: DurationSetting = parse_duration("0d")
    """Youngest age of a user, by `entities.user.born`, that may be acted on."""
    cool_down: DurationSetting = parse_duration("7d")
    """How long a user is left alone after the same action."""
    hysteresis: float = Field(0.0, ge=0, lt=1)
    """How far a score may fall below its threshold before a standing decision is dropped."""

    @field_validator("actions")
    @classmethod
    def _own_names(cls, value: tuple[ActionConfig, ...]) -> tuple[ActionConfig, ...]:
        names = [action.name for action in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"two actions have the name '{twice[0]}'"
            raise ValueError(message)
        return value
