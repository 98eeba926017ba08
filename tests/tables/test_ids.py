import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphguard.errors import ArtefactInvalid
from graphguard.schema import IDS
from graphguard.tables import ids as ids_module
from graphguard.tables import segment_files, segments
from graphguard.tables.files import write_parquet
from graphguard.tables.ids import Asked, IdStore
from graphguard.tables.key_marks import hashes_of, marks_of
from graphguard.tables.segment_files import marks_are_of_keys
from graphguard.tables.segments import forget


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


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.integers(1, 5))
def test_keys_looked_up_in_parts_get_the_indices_of_keys_looked_up_together(
    tmp_path_factory, keys, size
):
    folder = tmp_path_factory.mktemp("ids")
    held = IdStore(folder)
    held.add(pl.Series(["b", "d"]))
    held.save()
    wanted = pl.Series(keys, dtype=pl.String)
    asked = Asked(IdStore(folder), wanted)

    for start in reversed(range(0, len(keys), size)):
        asked.look_up(start, start + size)

    assert asked.codes().to_list() == IdStore(folder).codes(wanted).to_list()


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
    (tmp_path / ".tmp-000000000001-000000000002.arrow").write_bytes(b"torn")

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
    assert [path.name for path in tmp_path.iterdir()] == ["000000000000-000000000002.arrow"]


def test_keys_that_could_not_be_saved_are_saved_the_next_time(tmp_path, monkeypatch):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["b", "a"]))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("graphguard.tables.segment_files.os.replace", full)
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


def older(folder, *parts):
    """Segments as an older program wrote them."""
    folder.mkdir(exist_ok=True)
    for number, (keys, indices) in enumerate(parts):
        frame = pl.DataFrame({"key": keys, "index": indices}, schema={"key": str, "index": int})
        write_parquet(folder / f"{number:08d}.parquet", frame, IDS)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_threads_that_save_at_once_save_each_key_once(tmp_path, monkeypatch):
    store = IdStore(tmp_path / "user")
    store.add(pl.Series(["a", "b"]))
    put_behind, begun, go_on = ids_module.put_behind, threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return put_behind(*args)

    monkeypatch.setattr(ids_module, "put_behind", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.save)
        assert begun.wait(60)
        second = pool.submit(store.save)
        time.sleep(0.2)
        go_on.set()
        first.result()
        second.result()
    store.add(pl.Series(["c"]))
    store.save()

    assert IdStore(tmp_path / "user").frame.rows() == [("a", 0), ("b", 1), ("c", 2)]


def test_keys_of_indices_are_found_among_saved_and_new_keys(tmp_path):
    store = IdStore(tmp_path)
    store.add(pl.Series(["b", "a", "c"]))
    asked = pl.Series([2, 0, 7, None])
    assert store.keys_of(asked).to_list() == ["c", "a", None, None]
    store.save()
    store.add(pl.Series(["e", "d"]))
    assert store.keys_of(pl.Series([4, 1, 9, 3, 0])).to_list() == ["e", "b", None, "d", "a"]
    assert store.keys_of(pl.Series([], dtype=pl.Int64)).to_list() == []


def test_segments_of_an_older_program_are_read_and_taken_up_by_the_next_save(tmp_path):
    # Index 2 had a row that an erasure took out, before it left the row without its key.
    older(tmp_path, (["a", "b"], [0, 1]), (["d", None, "f"], [3, 4, 5]))

    ids = IdStore(tmp_path)

    assert ids.frame.get_column("key").to_list() == ["a", "b", None, "d", None, "f"]
    assert ids.codes(pl.Series(["f", "b"])).to_list() == [5, 1]
    ids.save()
    assert names(tmp_path) == ["00000000.parquet", "00000001.parquet"]
    assert ids.codes(pl.Series(["f", "g", "b"])).to_list() == [5, 6, 1]
    before = ids.segments()
    ids.save()
    assert names(tmp_path) == ["000000000000-000000000007.arrow"]
    assert IdStore(tmp_path).frame.get_column("key").to_list()[3:] == ["d", None, "f", "g"]
    assert IdStore(tmp_path).segments()[:2] == before


def nights(folder, number, size=3):
    """As many nights, each of which brings some keys; returns all of them."""
    every = []
    for night in range(number):
        new = [f"k{night:04d}-{n}" for n in range(size)]
        ids = IdStore(folder)
        ids.codes(pl.Series(every[:1] + new))
        ids.save()
        every += new
    return every


def test_a_year_of_nights_is_found_in_a_few_segments(tmp_path):
    every = nights(tmp_path, 365)

    ids = IdStore(tmp_path)

    assert len(names(tmp_path)) < 10
    assert len(ids.segments()) == 365
    order = np.random.default_rng(1).permutation(len(every))
    asked = pl.Series(every).gather(order)
    assert ids.find(asked).to_list() == order.tolist()
    assert ids.find(pl.Series(["k0000-9", "", "k9"])).to_list() == [None] * 3
    assert ids.frame.get_column("key").to_list() == every


def test_what_saves_meant_stays_when_segments_come_together(tmp_path):
    nights(tmp_path, 5)
    before = IdStore(tmp_path).segments()
    files = names(tmp_path)
    ids = IdStore(tmp_path)
    ids.add(pl.Series([f"more{n}" for n in range(50)]))
    ids.save()

    assert IdStore(tmp_path).segments()[:-1] == before
    assert len(files) > len(names(tmp_path)) == 1
    # Other keys in the same places are another dictionary.
    nights(tmp_path / "other", 5, size=4)
    assert IdStore(tmp_path / "other").segments()[0] != before[0]


@pytest.mark.parametrize("bits", [0, 1, 3])
def test_keys_whose_hashes_collide_are_told_apart(tmp_path, monkeypatch, bits):
    whole = pl.Series.hash

    def rough(keys):
        return pl.Series((whole(keys).to_numpy() & np.uint64(2**bits - 1)) << np.uint64(60))

    monkeypatch.setattr(pl.Series, "hash", rough)
    every = nights(tmp_path, 9, size=5)
    ids = IdStore(tmp_path)
    strangers = ["x", "y", "k0000-"]

    found = ids.find(pl.Series([*strangers, *every[::-1]]))

    assert found.to_list() == [None] * 3 + list(range(45))[::-1]
    assert ids.codes(pl.Series(["y", every[7], "x", "y"])).to_list() == [46, 7, 45, 46]


def test_marks_of_another_hash_are_made_anew(tmp_path, monkeypatch):
    every = nights(tmp_path, 3)
    before = pl.Series.hash
    monkeypatch.setattr(pl.Series, "hash", lambda keys: before(keys, 5))

    assert IdStore(tmp_path).find(pl.Series(every)).to_list() == list(range(9))


def damage(path, at):
    held = bytearray(path.read_bytes())
    held[at] ^= 4
    path.write_bytes(held)


def test_a_damaged_segment_is_told(tmp_path):
    every = nights(tmp_path, 1, size=400)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    frame = pl.read_ipc(path)
    stored = [frame.get_column(name).to_numpy()[200:].tobytes() for name in ("mark", "start")]
    for part in (every[300].encode(), *stored):
        damage(path, whole.index(part))
        with pytest.raises(ArtefactInvalid, match="other bytes"):
            IdStore(tmp_path)
        path.write_bytes(whole)
    for torn in (b"", whole[: len(whole) // 2], whole[:-8]):
        path.write_bytes(torn)
        with pytest.raises(ArtefactInvalid):
            IdStore(tmp_path)
    path.write_bytes(whole)
    assert len(IdStore(tmp_path)) == 400


def test_a_missing_segment_is_told(tmp_path):
    nights(tmp_path, 3)
    assert names(tmp_path) == [
        "000000000000-000000000006.arrow",
        "000000000006-000000000009.arrow",
    ]
    (tmp_path / "000000000000-000000000006.arrow").unlink()

    with pytest.raises(ArtefactInvalid, match="follows on index 0"):
        IdStore(tmp_path)


@pytest.mark.parametrize("point", ["write:ids", "rename:ids", "saved:ids"])
def test_a_save_that_was_killed_half_way_leaves_the_old_or_the_new(tmp_path, monkeypatch, point):
    every = nights(tmp_path, 3)

    class Killed(BaseException):
        pass

    def kill(reached):
        if reached == point:
            raise Killed

    ids = IdStore(tmp_path)
    ids.codes(pl.Series([f"z{n}" for n in range(20)]))
    with monkeypatch.context() as patch:
        for module in ("segments", "segment_files"):
            patch.setattr(f"graphguard.tables.{module}.failpoint", kill)
        with pytest.raises(Killed):
            ids.save()

    again = IdStore(tmp_path)
    done = point == "saved:ids"
    assert again.frame.get_column("key").to_list()[:9] == every
    assert len(again) == (29 if done else 9)
    again.codes(pl.Series([*every, *(f"z{n}" for n in range(20)), "zz"]))
    again.save()
    assert len(IdStore(tmp_path)) == 30
    left = [name for name in names(tmp_path) if not name.startswith(".")]
    assert len(left) == (2 if done else 1)


def test_a_reader_lists_again_when_a_save_puts_segments_together(tmp_path, monkeypatch):
    nights(tmp_path, 3)
    late = []

    def listed(path, start, end, check=True):
        late.append(path)
        if len(late) == 1:
            other = IdStore(tmp_path)
            other.add(pl.Series([f"z{n}" for n in range(20)]))
            other.save()
        return read(path, start, end, check=check)

    read = segments._read
    monkeypatch.setattr(segments, "_read", listed)

    assert len(IdStore(tmp_path)) == 29


def test_what_is_forgotten_leaves_neither_key_nor_mark(tmp_path):
    every = nights(tmp_path, 40)
    gone = [every[4], every[50], every[-1]]
    before = IdStore(tmp_path)
    saves = before.segments()
    # A file that a killed save left behind holds them too.
    shutil.copy(next(tmp_path.iterdir()), tmp_path / "000000000003-000000000006.arrow")

    forget(tmp_path, pl.Series(gone))

    ids = IdStore(tmp_path)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(key.encode() in held for key in gone)
    marks = hashes_of(pl.Series(gone))
    for path in tmp_path.iterdir():
        assert marks_are_of_keys(path)
        held = pl.read_ipc(path).get_column("mark").to_numpy()
        assert not np.isin(marks >> 20, held >> 20).any()
    assert ids.find(pl.Series(gone)).to_list() == [None] * 3
    left = [None if key in gone else key for key in every]
    assert ids.frame.get_column("key").to_list() == left
    assert ids.keys_of(pl.Series([4, 5])).to_list() == [None, every[5]]
    assert [n for n in range(40) if saves[n] != ids.segments()[n]] == [1, 16, 39]
    # An index that had a key is never given again.
    assert ids.codes(pl.Series([every[4]])).to_list() == [len(every)]


def test_long_keys_that_are_forgotten_leave_no_text(tmp_path):
    keys = [f"an-id-of-many-letters-{n:06d}" for n in range(1000)]
    ids = IdStore(tmp_path)
    ids.add(pl.Series(keys))
    ids.save()

    forget(tmp_path, pl.Series(keys[10:990]))

    [path] = tmp_path.iterdir()
    held = path.read_bytes()
    assert [key for key in keys if key.encode() in held] == [*keys[:10], *keys[990:]]


def test_marks_that_belong_to_no_key_are_told(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["a", "b", "c"]))
    ids.save()
    [path] = tmp_path.iterdir()
    left = pl.Series(["a", None, "c"])
    assert marks_are_of_keys(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_files, "marks_of", lambda _: marks_of(pl.Series(["a", "b", "c"])))
        segment_files.write_segment(tmp_path, 0, left, [])

    assert not marks_are_of_keys(path)
