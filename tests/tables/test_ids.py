import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.schema import IDS
from graphguard.tables.files import write_parquet
from graphguard.tables.ids import IdStore


def test_keys_keep_their_index_for_ever(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["b", "a", None, "a"]))
    ids.save()
    ids.add(pl.Series(["c", "a"]))
    ids.save()

    again = IdStore(tmp_path)

    assert again.frame.rows() == [("a", 0), ("b", 1), ("c", 2)]
    again.add(pl.Series(["a", "c"]))
    again.save()
    assert len(IdStore(tmp_path)) == 3


def test_encode_and_decode_are_inverse_and_strangers_are_null(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["x", "y"]))
    frame = pl.DataFrame({"n": [1, 2, 3], "user": ["y", "z", "x"]})

    coded = ids.encode(frame, "user")

    assert coded.rows() == [(1, 1), (2, None), (3, 0)]
    assert ids.decode(coded, "user", "key").get_column("key").to_list() == ["y", None, "x"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=5), max_size=4))
def test_no_two_keys_share_an_index_and_no_key_has_two(tmp_path_factory, batches):
    ids = IdStore(tmp_path_factory.mktemp("ids"))
    for batch in batches:
        ids.add(pl.Series(batch, dtype=pl.String))

    keys = {key for batch in batches for key in batch}

    assert set(ids.frame.get_column("key")) == keys
    assert sorted(ids.frame.get_column("index")) == list(range(len(keys)))


def test_a_segment_that_a_killed_writer_left_aside_is_not_read(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["a"]))
    ids.save()
    (tmp_path / ".tmp-00000001.parquet").write_bytes(b"torn")

    again = IdStore(tmp_path)
    again.add(pl.Series(["b"]))
    again.save()

    assert IdStore(tmp_path).frame.rows() == [("a", 0), ("b", 1)]


def test_keys_added_between_two_saves_are_one_segment(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["b"]))
    ids.add(pl.Series(["a", "b"]))
    assert len(IdStore(tmp_path)) == 0

    ids.save()
    ids.save()

    assert IdStore(tmp_path).frame.rows() == [("b", 0), ("a", 1)]
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_keys_that_could_not_be_saved_are_saved_the_next_time(tmp_path, monkeypatch):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["b", "a"]))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("graphguard.tables.ids.write_parquet", full)
        with pytest.raises(OSError, match="No space"):
            ids.save()
    ids.add(pl.Series(["c", "a"]))
    ids.save()

    assert IdStore(tmp_path).frame.rows() == [("a", 0), ("b", 1), ("c", 2)]


def test_known_and_new_keys_in_one_call_get_old_and_new_indices(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["m", "k"]))

    assert ids.codes(pl.Series(["z", "m", "a", "z", "k"])).to_list() == [3, 1, 2, 3, 0]
    assert ids.codes(pl.Series([], dtype=pl.String)).to_list() == []


def test_keys_of_indices_are_found_with_and_without_gaps(tmp_path):
    store = IdStore(tmp_path)
    store.add(pl.Series(["b", "a", "c"]))
    asked = pl.Series([2, 0, 7])
    assert store.keys_of(asked).to_list() == ["c", "a", None]
    store.save()

    path = tmp_path / "00000000.parquet"
    write_parquet(path, pl.read_parquet(path).filter(pl.col("key") != "b"), IDS)
    assert IdStore(tmp_path).keys_of(pl.Series([0, 1, 2, 3])).to_list() == ["a", None, "c", None]
