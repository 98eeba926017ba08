"""The quality benchmark deals rows as its protocols say, and keeps what it has measured."""

import numpy as np
import pytest


def test_a_split_with_a_row_in_two_parts_is_refused(bench):
    task = bench("sets.task")

    with pytest.raises(ValueError, match="a row is in two of its parts"):
        task.Split("fold0", np.array([0, 1]), np.array([2]), np.array([1]))


def test_rings_are_in_one_part_of_a_split_only(bench):
    task = bench("sets.task")
    # Forty rings of five, all positive, and 200 rows on their own.
    group = np.concatenate([np.repeat(np.arange(40), 5), np.arange(40, 240)])
    label = (group < 40).astype(np.int8)
    keys = [f"k{row}" for row in range(len(group))]
    fold = group % 4

    splits = task.fold_splits(fold, keys, label, group)

    assert len(splits) == 4
    for split in splits:
        parts = [set(group[part]) for part in (split.train, split.valid, split.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert len(split.train) + len(split.valid) + len(split.test) == 400
        assert label[split.valid].mean() == pytest.approx(0.5, abs=0.1)


def _cell(cells, split, mark="m", auprc=50.0):
    figures = {"auprc": auprc}
    return cells.Cell("s", "p", "trees", split, mark, figures, 40.0, 10, 5, 1.0)


def test_cells_are_kept_as_they_end_and_found_again(bench, tmp_path):
    cells = bench("sets.cells")
    store = cells.CellStore(tmp_path)
    store.add(_cell(cells, "fold0"), np.array([0.25, 0.5]))
    store.add(_cell(cells, "fold1"), np.array([0.75, 1.0]))
    # A start that was killed leaves half a line.
    with store.path.open("a", encoding="utf-8") as file:
        file.write('{"set": "s", "prot')

    again = cells.CellStore(tmp_path)

    assert [one.split for one in again.cells()] == ["fold0", "fold1"]
    assert again.holds(("s", "p", "trees", "fold0"), "m")
    assert not again.holds(("s", "p", "trees", "fold0"), "other input")
    assert again.score(("s", "p", "trees", "fold1")).tolist() == [0.75, 1.0]


def test_cells_made_anew_replace_the_old_ones(bench, tmp_path):
    cells = bench("sets.cells")
    store = cells.CellStore(tmp_path)
    store.add(_cell(cells, "fold0", auprc=50.0), np.zeros(1))
    store.add(_cell(cells, "fold0", mark="n", auprc=60.0), np.zeros(1))

    assert [one.figures["auprc"] for one in cells.CellStore(tmp_path).cells()] == [60.0]
    store.forget([("s", "p", "trees", "fold0")])
    assert cells.CellStore(tmp_path).cells() == []


def test_the_default_is_chosen_on_validation_never_on_test(bench):
    cells, report, task = bench("sets.cells"), bench("sets.report"), bench("sets.task")
    protocol = task.Protocol("s", "p", lambda: None, ("auprc",), {}, "")
    made = [
        cells.Cell("s", "p", "trees", "fold0", "m", {"auprc": 50.0}, 45.0, 10, 5, 1.0),
        cells.Cell("s", "p", "sage", "fold0", "m", {"auprc": 60.0}, 40.0, 10, 5, 1.0),
    ]

    line = report.result_line([protocol], made)

    assert line == {"s_p_auprc": 50.0, "trees_s_p_auprc": 50.0, "sage_s_p_auprc": 60.0}


def test_a_video_is_the_test_once_and_another_one_validates(bench):
    youtube = bench("sets.youtube")
    video = np.array([0, 1, 2, 0, 1, 2])

    split = youtube.left_out(video, 2, 3)

    # Video 2 is left out, and the one after the last is the first.
    assert split.test.tolist() == [2, 5]
    assert split.valid.tolist() == [0, 3]
    assert split.train.tolist() == [1, 4]


def test_a_run_without_arguments_makes_sets_and_families_that_there_are(bench):
    quality = bench("quality")

    assert set(quality.QUICK_SETS) < {one.set for one in quality.every_protocol()}
    assert set(quality.QUICK) <= set(quality.FAMILIES)
