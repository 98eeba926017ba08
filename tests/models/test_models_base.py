import sys
from dataclasses import replace

import numpy as np
import pytest

from graphguard.errors import ArtefactInvalid, BadSetting, BuildMissing
from graphguard.models.base import MODELS, Model, Rows, RowsInvalid, load_model, open_model


def two_rows():
    return Rows(
        node=np.array([0, 1]),
        anchor_us=np.array([10, 20]),
        x=np.array([[1, np.nan], [2, 3]], dtype=np.float32),
        names=("a", "b"),
        label=np.array([0, 1], dtype=np.int8),
    )


def test_taking_rows_takes_every_array():
    taken = two_rows().take(np.array([1]))

    assert (taken.node.tolist(), taken.anchor_us.tolist()) == ([1], [20])
    assert (taken.x.tolist(), taken.label.tolist()) == ([[2.0, 3.0]], [1])
    assert len(two_rows().take(np.array([True, False]))) == 1
    assert replace(two_rows(), label=None).take(np.array([0])).label is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"node": np.array([0])}, r"rows.anchor_us: shape \(2,\), expected \(1,\)"),
        ({"node": np.array([0.0, 1.0])}, "rows.node: type float64, expected int64"),
        ({"node": np.array([-1, 1])}, "rows.node: negative index -1"),
        ({"x": np.zeros((2, 3), np.float32)}, r"rows.x: shape \(2, 3\), expected \(2, 2\)"),
        ({"x": np.zeros((2, 2))}, "rows.x: type float64"),
        (
            {"x": np.array([[1, 1], [1, np.inf]], np.float32)},
            "rows.x: column 'b' is infinite in row 1",
        ),
        ({"names": ("a", "a")}, "rows.names: repeated column names a"),
        ({"label": np.array([0, 2], np.int8)}, "rows.label: must be 0 or 1, found 2"),
        ({"label": np.array([0, 1])}, "rows.label: type int64, expected int8"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(change, told):
    with pytest.raises(RowsInvalid, match=told):
        replace(two_rows(), **change).validate()


def test_good_rows_validate_to_themselves():
    rows = two_rows()

    assert rows.validate() is rows
    assert len(replace(rows, label=None).validate()) == 2


def test_an_unknown_model_names_the_known_ones():
    known = ", ".join(sorted(MODELS))
    with pytest.raises(BadSetting, match=rf"unknown model 'tree' \(known: {known}\). Did you"):
        open_model("tree")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(BadSetting, match=r"training: trees: unknown setting 'bag' .*'bags'\?"):
        open_model("trees", {"bag": 3})


def test_a_missing_build_names_both(monkeypatch):
    monkeypatch.delitem(sys.modules, "graphguard.models.trees", raising=False)
    monkeypatch.setitem(sys.modules, "xgboost", None)

    with pytest.raises(BuildMissing) as caught:
        open_model("trees")

    assert str(caught.value) == (
        "model 'trees' needs xgboost, which comes in two builds that overwrite each other: "
        "pip install 'graphguard[cpu]' or 'graphguard[gpu]'"
    )


def test_trees_keep_the_protocol():
    assert isinstance(open_model("trees"), Model)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "file not found"),
        ("{", "not JSON"),
        ("[]", "holds a list"),
        ('{"name": "pickle"}', "names model 'pickle', known are " + ", ".join(sorted(MODELS))),
        ('{"name": "trees"}', "not a trees model"),
    ],
)
def test_a_folder_that_holds_no_model_is_refused(tmp_path, text, told):
    if text is not None:
        (tmp_path / "model.json").write_text(text)

    with pytest.raises(ArtefactInvalid, match=told):
        load_model(tmp_path)
