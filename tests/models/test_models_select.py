import numpy as np
import pytest

from graphguard.models.select import choose_champion


def world(seed=0, positives=150, negatives=3000):
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], [positives, negatives])
    truth = rng.normal(size=len(label)) + 1.5 * label
    return label, {
        "trees": truth + rng.normal(size=len(label)),
        "sage": truth,
        "twin": truth + 0.05 * rng.normal(size=len(label)),
    }


def test_a_clearly_better_challenger_takes_over():
    label, scores = world()

    choice = choose_champion(
        {name: scores[name] for name in ("trees", "sage")}, label, budget=100, previous="trees"
    )

    assert choice.champion == "sage"
    assert choice.reason.startswith("'sage' replaces 'trees': AUPRC +0.")
    assert choice.differences["sage"]["auprc"].low > 0
    assert choice.metrics["sage"]["auprc"].value > choice.metrics["trees"]["auprc"].value


def test_an_equally_good_challenger_does_not():
    label, scores = world()

    choice = choose_champion(
        {name: scores[name] for name in ("twin", "sage")}, label, budget=100, previous="twin"
    )

    assert choice.champion == "twin"
    assert choice.reason.startswith(
        "'twin' stays: 'sage' does not win AUPRC and precision at the review budget beyond chance"
    )


def test_chance_rarely_replaces_a_champion():
    # 60 slices where both models are equally good: at 95% two-sided, 1 or 2 would win by AUPRC
    # alone
    replaced = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        label = np.repeat([1, 0], [60, 600])
        truth = rng.normal(size=660) + label
        scores = {name: truth + rng.normal(size=660) for name in ("trees", "sage")}
        replaced += choose_champion(scores, label, 50, "trees").champion == "sage"

    assert replaced <= 3


def test_a_better_ranking_wins_where_precision_has_reached_its_ceiling():
    # budget 10: both find 10 of 10. Below, only the challenger ranks the other 90 positives high.
    label = np.repeat([1, 1, 0], [10, 90, 900])
    rng = np.random.default_rng(1)
    champion = np.where(np.arange(1000) < 10, 9.0, rng.random(1000))
    challenger = np.where(label == 1, 5.0 + rng.random(1000), rng.random(1000))

    choice = choose_champion({"trees": champion, "sage": challenger}, label, 10, previous="trees")

    assert choice.champion == "sage"


def test_the_first_champion_has_the_highest_auprc():
    label, scores = world()

    choice = choose_champion(scores, label, budget=100)

    assert choice.champion in ("sage", "twin")
    assert choice.reason.startswith("no champion before: '")
    assert choice.differences == {}


def test_a_champion_that_was_not_trained_is_said_to_be_missing():
    label, scores = world()

    choice = choose_champion({"trees": scores["trees"]}, label, 100, previous="sage")

    assert choice.champion == "trees"
    assert choice.reason.startswith(
        "the champion before, 'sage', was not trained: 'trees' is the only model, AUPRC 0."
    )


def test_a_champion_without_challenger_stays():
    label, scores = world()

    choice = choose_champion({"trees": scores["trees"]}, label, 100, previous="trees")

    assert (choice.champion, choice.reason) == ("trees", "'trees' stays: it has no challenger")


def test_no_model_is_refused():
    with pytest.raises(ValueError, match="training.models is empty"):
        choose_champion({}, np.array([0, 1]), 1)
