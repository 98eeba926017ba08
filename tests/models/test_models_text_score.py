"""A column of what texts say: it generalises, nothing of a row's own label is in it, it is kept."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from graphguard.errors import ArtefactInvalid
from graphguard.evaluate.metrics import auroc
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.graph.hetero import HeteroGraph
from graphguard.models import text_score
from graphguard.models.base import GraphContext, Rows, RowsInvalid, load_model
from graphguard.models.ngrams import BUCKETS, ngram_counts
from graphguard.models.text_score import COLUMN, WEIGHTS, TextScore, text_phrases
from graphguard.models.trees import TreesModel, TreesSettings

USERS = 1200
SOLD = ("cheap watches here", "ch3ap watch", "best WATCHES online")
SAID = ("thanks for the photo", "see you at lunch", "what a match that was")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sellers write of watches, and one word each of their own; a tenth of the labels are wrong."""
    draw = np.random.default_rng(3)
    sells = draw.random(USERS) < 0.3
    text = [
        f"{(SOLD if one else SAID)[number % 3]} {draw.integers(10**9)}"
        for number, one in enumerate(sells)
    ]
    label = (sells ^ (draw.random(USERS) < 0.1)).astype(np.int8)
    keys = [f"u{number:05}" for number in range(USERS)]
    folder = tmp_path_factory.mktemp("graph")
    nodes = {"user": NodeArrays(pl.Series(keys), np.arange(USERS))}
    none = np.zeros(0, dtype=np.int64)
    edges = [(("user", "knows", "user"), EdgeArrays(none, none, none, none))]
    write_graph(folder, nodes, edges, {}, 7)
    x = draw.normal(size=(USERS, 2)).astype(np.float32)
    rows = Rows(
        np.arange(USERS),
        np.full(USERS, 10),
        x,
        ("noise", "more"),
        label,
        np.array(text, dtype=np.object_),
    )
    context = GraphContext(HeteroGraph.open(folder), "user", 10, rows)
    part = draw.permutation(USERS)
    return context, rows, (np.sort(part[:700]), np.sort(part[700:900]), np.sort(part[900:]))


def test_ngrams_of_a_text_are_counted_with_its_edges_and_without_case():
    counts = ngram_counts(["aa", "AA", "", "aab"])

    assert counts.shape == (4, BUCKETS)
    # edge-a, a-a, a-edge; edge-a-a, a-a-edge; edge-a-a-edge.
    assert counts[[0]].sum() == 6
    assert (counts[[0]] != counts[[1]]).nnz == 0
    assert counts[[2]].sum() == 1
    assert ngram_counts([]).shape == (0, BUCKETS)


def test_counts_do_not_depend_on_how_many_texts_come_at_once(monkeypatch):
    texts = [f"text {number} of many" for number in range(50)]
    whole = ngram_counts(texts)
    monkeypatch.setattr("graphguard.models.ngrams.CHARACTERS_AT_ONCE", 40)

    assert (ngram_counts(texts) != whole).nnz == 0


def test_texts_tell_rows_that_were_never_seen(world):
    context, rows, (train, _, test) = world
    score = TextScore.fit(rows.take(train), context, seed=7)

    made = score.apply(rows.take(test), context)

    assert made.names == ("noise", "more", COLUMN)
    # A tenth of the labels is wrong, so even the truth has no more.
    assert auroc(made.x[:, 2], made.label) > 0.84
    assert text_phrases(made.names) == {COLUMN: text_score.PHRASE}


def test_a_row_never_reads_its_own_label(world):
    context, rows, (train, _, _) = world
    taught = rows.take(train)
    first = TextScore.fit(taught, context, seed=7).apply(taught, context).x[:, 2]
    fold = text_score._folds(taught, context, 7)
    turned = np.where(fold == 0, 1 - taught.label, taught.label).astype(np.int8)

    second = TextScore.fit(replace(taught, label=turned), context, seed=7).apply(taught, context)

    assert first[fold == 0].tolist() == second.x[fold == 0, 2].tolist()
    assert first[fold == 1].tolist() != second.x[fold == 1, 2].tolist()


def test_rows_that_train_and_rows_that_do_not_see_one_distribution(world):
    context, rows, (train, _, test) = world
    score = TextScore.fit(rows.take(train), context, seed=7)

    columns = [score.apply(rows.take(some), context).x[:, 2] for some in (train, test)]

    # Every text has words of its own: read by a model that knew them, trained rows would stand out.
    labels = [rows.label[some] for some in (train, test)]
    bad = [column[label == 1] for column, label in zip(columns, labels, strict=True)]
    assert ks_2samp(*columns).pvalue > 1e-3
    assert ks_2samp(*bad).pvalue > 1e-3


def test_a_row_without_text_has_no_score(world):
    context, rows, (train, _, test) = world
    score = TextScore.fit(rows.take(train), context, seed=7)
    silent = replace(rows.take(test), text=np.full(len(test), "", dtype=np.object_))

    assert np.isnan(score.apply(silent, context).x[:, 2]).all()
    with pytest.raises(ValueError, match="list 'words' in `features`"):
        score.apply(replace(silent, text=None), context)


def test_trees_read_texts_and_come_back_with_what_they_learned(world, tmp_path):
    context, rows, (train, valid, test) = world
    model = TreesModel(TreesSettings(rounds=40, bags=1, learning_rate=0.2, threads=1))
    model.fit(rows.take(train), rows.take(valid), context)
    said = model.predict(rows.take(test), context)
    model.save(tmp_path)

    again = load_model(tmp_path)

    assert COLUMN in model.columns
    assert auroc(said, rows.label[test]) > 0.8
    assert again.predict(rows.take(test), context).tolist() == said.tolist()
    (tmp_path / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(ArtefactInvalid, match=r"text\.safetensors: no weights of a text score"):
        load_model(tmp_path)


def test_trees_told_not_to_read_do_not(world):
    context, rows, (train, valid, _) = world
    model = TreesModel(TreesSettings(rounds=5, bags=1, threads=1, text="never"))

    model.fit(rows.take(train), rows.take(valid), context)

    assert model.columns == ("noise", "more")


def test_texts_that_do_not_fit_the_rows_are_refused(world):
    _, rows, _ = world

    with pytest.raises(RowsInvalid, match=r"rows\.text: shape \(3,\), expected \(1200,\)"):
        replace(rows, text=rows.text[:3]).validate()
