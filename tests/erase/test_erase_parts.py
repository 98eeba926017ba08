"""The parts of an erasure on small drawn tables: graph, rings, mentions, folders, tombstones."""

import os
from pathlib import PurePath

import numpy as np
import polars as pl
import pytest

from graphguard.erase.columns import EntityColumns
from graphguard.erase.doomed import Doomed, Mentions
from graphguard.erase.graph import doomed_nodes, embedding_write, graph_writes
from graphguard.erase.rings import rings_without, sets_without_objects, without_rings
from graphguard.erase.rows import table_change, table_write, unit_change, without_doomed
from graphguard.erase.runs import RunEraser
from graphguard.erase.scan import _Scanner
from graphguard.erase.swap import Rewrite, Rewriter, exchange, json_writer, sweep
from graphguard.errors import ArtefactInvalid, GraphInvalid
from graphguard.graph.arrays import EdgeArrays, NodeArrays
from graphguard.graph.build import write_graph
from graphguard.ring_schema import (
    RING_ACTS,
    RING_CHANGES,
    RING_EVIDENCE,
    RING_MEMBERS,
    RING_SETS,
    RINGS,
)
from graphguard.schema import AXES, REJECTS
from graphguard.tables.commit import committing, read_manifest, verify
from graphguard.tables.files import read_json, read_parquet, write_json, write_parquet
from graphguard.tables.ids import IdStore
from graphguard.tables.intake import Intake
from graphguard.tables.late import LATE
from graphguard.tables.segments import forget
from graphguard.tables.tombstones import Tombstones, without_erased

DAY = 86_400_000_000


def graph_of(folder, users, storage, edges):
    """users -> things: edges are (user, thing, day); things t0, t1, t2 have storage 10, 11, 12.

    "b" did each 300 times, which takes more than a byte; the others once.
    """
    source, target, day = (np.array(part) for part in zip(*edges, strict=True))
    rows = np.array([users.index(u) for u in source])
    count = np.where(source == "b", 300, 1).astype(np.int32)
    arrays = EdgeArrays(rows, target, day * DAY, count)
    nodes = {
        "user": NodeArrays(pl.Series(users), np.array(storage)),
        "thing": NodeArrays(pl.Series(["t0", "t1", "t2"]), np.array([10, 11, 12])),
    }
    write_graph(folder, nodes, [(("user", "has", "thing"), arrays)], {}, 7)


def test_a_graph_without_a_node_is_the_graph_that_never_had_it(tmp_path):
    #   a-t0 (days 1, 2)   b-t0   b-t1   c-t1   c-t2;   b is erased
    edges = [("a", 0, 1), ("a", 0, 2), ("b", 0, 1), ("b", 1, 3), ("c", 1, 2), ("c", 2, 5)]
    graph_of(tmp_path / "whole", ["a", "b", "c"], [5, 3, 4], edges)
    graph_of(tmp_path / "never", ["a", "c"], [5, 4], [one for one in edges if one[0] != "b"])
    gone = doomed_nodes(tmp_path / "whole", Doomed({}, {"user": np.array([3])}))

    assert {kind: mask.tolist() for kind, mask in gone.items()} == {"user": [False, True, False]}
    writes = graph_writes(tmp_path / "whole", gone)
    for name, write in writes.items():
        path = tmp_path / "after" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    for name in writes:
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "never" / name).read_bytes()
    assert len(writes) == 2 + 10 + 1


def test_embeddings_lose_the_rows_of_the_doomed_once(tmp_path):
    path, mask = tmp_path / "embeddings.npy", np.array([False, True, False])
    np.save(path, np.array([[1.0], [2.0], [3.0]], dtype=np.float32))

    embedding_write(path, mask)(tmp_path / "after.npy")

    assert np.load(tmp_path / "after.npy").ravel().tolist() == [1.0, 3.0]
    assert embedding_write(tmp_path / "after.npy", mask) is None
    with pytest.raises(GraphInvalid, match="has 3 rows, but the graph has 5 users"):
        embedding_write(path, np.array([True] * 5))


def ring_tables():
    # ring r: a b c d, linked a-b a-c b-c c-d;   ring s: e f, linked e-f
    pairs = [("r", "a", "b", 4.0), ("r", "a", "c", 2.0), ("r", "b", "c", 8.0), ("r", "c", "d", 1.0),
             ("s", "e", "f", 3.0)]  # fmt: skip
    evidence = pl.DataFrame([
        dict.fromkeys(RING_EVIDENCE.columns, 0)
        | {"ring_id": ring, "key_a": a, "key_b": b, "channel": "likes", "bits": bits, "chances": []}
        for ring, a, b, bits in pairs
    ]).cast(dict(RING_EVIDENCE.empty().schema))  # fmt: skip
    members = pl.DataFrame([
        {"ring_id": ring, "key": key, "entity": 0, "role": "core", "degree": 9,
         "evidence_bits": 99.0, "first_share": 0.5}
        for ring, key in (*(("r", key) for key in "abcd"), *(("s", key) for key in "ef"))
    ])  # fmt: skip
    rings = pl.DataFrame([
        dict.fromkeys(RINGS.columns, 0) | {"ring_id": name, "size": size, "density": 0.5,
         "evidence_bits": bits, "channels": "x", "ties": "[]", "first_seen": None}
        for name, size, bits in (("r", 4, 15.0), ("s", 2, 3.0))
    ]).cast({"first_seen": pl.Date})  # fmt: skip
    changes = pl.DataFrame([{**dict.fromkeys(RING_CHANGES.columns, 0), "ring_id": "s"}])
    acts = pl.DataFrame([
        {**dict.fromkeys(RING_ACTS.columns, 0), "ring_id": ring, "key": key}
        for ring, key in (("r", "a"), ("r", "b"), ("r", "c"), ("s", "e"))
    ])  # fmt: skip
    sets = pl.DataFrame([
        {**dict.fromkeys(RING_SETS.columns, 0), "ring_id": ring, "keys": list(keys), "objects": [],
         "users": len(keys)}
        for ring, keys in (("r", "abc"), ("r", "bd"), ("r", "b"), ("r", "d"), ("s", "ef"))
    ])  # fmt: skip
    return {"rings": rings, "ring_members": members, "ring_evidence": evidence,
            "ring_acts": acts, "ring_sets": sets, "ring_changes": changes}  # fmt: skip


def test_a_ring_that_loses_a_member_is_described_anew_and_a_small_one_is_dissolved():
    after = rings_without(ring_tables(), {"b", "f"}, least=2)

    # left of r: a c d, linked a-c (2 bits) and c-d (1 bit) of three possible pairs
    ring = after["rings"].to_dicts()
    assert [one["ring_id"] for one in ring] == ["r"]
    assert ring[0]["size"] == 3
    assert ring[0]["density"] == pytest.approx(2 / 3)
    assert ring[0]["evidence_bits"] == 3.0
    assert ring[0]["channels"] == "likes"
    members = after["ring_members"].select("key", "role", "degree", "evidence_bits").rows()
    assert members == [("a", "core", 1, 2.0), ("c", "core", 2, 3.0), ("d", "core", 1, 1.0)]
    assert after["ring_evidence"].select("key_a", "key_b").rows() == [("a", "c"), ("c", "d")]
    assert after["ring_acts"].select("ring_id", "key").rows() == [("r", "a"), ("r", "c")]
    # Of several who met one alone is nothing; who joined by himself still has.
    assert after["ring_sets"].select("ring_id", "keys").rows() == [("r", ["a", "c"]), ("r", ["d"])]
    assert after["ring_changes"].height == 0


def test_sets_are_on_no_object_that_is_erased_or_names_the_erased():
    sets = pl.DataFrame(
        {
            "object_type": ["post", "link", "site.link"],
            "objects": [["p1", "p2"], ["p1"], ["by-user-123456.example", "deal.example"]],
        }
    )
    doomed = Doomed({"post": frozenset({"p1"}), "user": frozenset({"user-123456"})})

    after = sets_without_objects(sets, doomed)

    assert after.get_column("objects").to_list() == [["p2"], ["p1"], ["deal.example"]]


def test_a_short_key_in_a_list_of_keys_is_a_trace(tmp_path):
    columns = EntityColumns({}, "user", "user")
    scanner = _Scanner(Doomed({"user": frozenset({"u1"})}), columns)
    for name, keys in (("held", [["u2"], ["u3", "u1"]]), ("clean", [["u2"], ["u11"]])):
        pl.DataFrame({"keys": keys}).write_parquet(tmp_path / f"{name}.parquet")

    place = PurePath("runs/one/find_rings/ring_sets.parquet")
    assert scanner.traces(tmp_path / "held.parquet", place) == ["column 'keys'"]
    assert scanner.traces(tmp_path / "clean.parquet", place) == []


def test_rings_without_a_doomed_member_are_left_alone():
    tables = ring_tables()
    after = rings_without(tables, {"nobody"}, least=3)

    assert all(after[name] is tables[name] for name in tables)
    assert after["ring_members"].columns == list(RING_MEMBERS.columns)


def test_a_user_of_a_dissolved_ring_is_in_no_ring():
    scores = pl.DataFrame({"ring_id": ["r", "s", None], "ring_risk": [0.5, 0.9, None]})

    assert without_rings(scores, ["s"]).rows() == [("r", 0.5), (None, None), (None, None)]
    assert without_rings(scores, []) is scores


def test_a_mention_is_a_whole_word_of_a_long_key():
    mentions = Mentions(["user-123456", "12"])
    texts = ["see user-123456!", "user-1234567", "xuser-123456", "12 posts", None]

    assert mentions.blanked(pl.Series(texts)) == {0: "see [erased]!"}
    value = {"a": ["user-123456", 12], "b": "12"}
    assert mentions.without(value) == {"a": ["[erased]", 12], "b": "12"}
    same = {"b": "12"}
    assert mentions.without(same) is same


def test_rows_go_by_index_by_key_and_by_the_tie_and_reason_they_name():
    columns = EntityColumns({"likes": {"user_id": "user"}}, "user", "user")
    doomed = Doomed({"user": frozenset({"user-77777"}), "thing": frozenset({"t1"})},
                    {"user": np.array([7])})  # fmt: skip
    events = pl.DataFrame({"time_us": [1, 2], "user_id": [7, 8], "__text": ["x", "to user-77777"]})
    scores = pl.DataFrame({
        "entity_id": ["user-77777", "user-88888"],
        "reasons": ['[{"text": "user-77777"}]', '[{"text": "a"}, {"text": "is user-77777"}]'],
    })  # fmt: skip
    rings = pl.DataFrame({"ties": ['[{"type": "thing", "key": "t1"}, {"type": "x", "key": "t1"}]']})

    def left(frame, place):
        return without_doomed(frame, PurePath(place), columns, doomed).rows()

    assert left(events, "store/events/likes/dt/x/events.parquet") == [(2, 8, "to [erased]")]
    assert left(scores, "runs/r/score/scores.parquet") == [("user-88888", '[{"text": "a"}]')]
    assert left(rings, "runs/r/find_rings/rings.parquet") == [('[{"type": "x", "key": "t1"}]',)]
    untouched = events.filter(pl.col("user_id") > 99)
    assert without_doomed(untouched, PurePath("store/events/likes/a"), columns, doomed) is untouched


def test_a_rewritten_folder_keeps_its_other_files_and_says_so_in_its_manifest(tmp_path):
    folder = tmp_path / "dt=2026-01-01" / "mark"
    with committing(folder, {"rows": 3}) as out:
        (out / "a.json").write_text("1")
        (out / "b.json").write_text("2")
    rewriter = Rewriter("e1")

    rewriter.rewrite(folder, Rewrite({"a.json": json_writer({"left": 2})}, {"rows": 2}, 1))
    assert read_json(folder / "a.json") == 1
    rewriter.flush()

    verify(folder)
    assert read_json(folder / "a.json") == {"left": 2}
    assert read_manifest(folder)["rows"] == 2
    assert read_manifest(folder)["erasures"] == {"e1": 1}
    assert [path.name for path in folder.parent.iterdir()] == ["mark"]


@pytest.mark.parametrize("renameat2", [True, False])
def test_two_folders_change_names(tmp_path, monkeypatch, renameat2):
    if not renameat2:
        monkeypatch.setattr("graphguard.erase.swap.ctypes.CDLL", lambda *_, **__: object())
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    exchange(tmp_path / "one", tmp_path / "two")

    assert (tmp_path / "one" / "file").read_text() == "two"
    assert (tmp_path / "two" / "file").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_sweep_puts_back_what_stood_and_removes_leftovers(tmp_path):
    for name in ("a/.was-part", "a/.tmp-part", "b/.was-part", "b/part"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)

    (tmp_path / "b" / ".run.json.4711").write_text("half")
    (tmp_path / "b" / ".hidden").write_text("somebody else's")

    assert sweep(tmp_path) == 4

    assert (tmp_path / "a/part/file").read_text() == "a/.was-part"
    assert (tmp_path / "b/part/file").read_text() == "b/part"
    assert [path.name for path in tmp_path.rglob(".*")] == [".hidden"]


def intake_of(users, values=()):
    rows = pl.DataFrame({"user": users, "__file": ["f"] * len(users)}, schema_overrides={
        "user": pl.String})  # fmt: skip
    rejects = pl.DataFrame(
        [{"file": "f", "row": 9, "column": "user", "reason": "odd", "value": one, "time_us": 5}
         for one in values], schema=REJECTS.empty().schema)  # fmt: skip
    counts = {"source": "likes", "file": "f", "read": len(users) + len(values),
              "accepted": len(users), "rejected": len(values), "not_yet": 0,
              "identical": 0}  # fmt: skip
    return Intake(rows, rejects, [counts])


def test_tombstones_reject_the_erased_and_hold_no_key(tmp_path):
    ids = {"user": IdStore(tmp_path / "ids" / "user")}
    Tombstones(tmp_path).add("user", ["u-erased", "u-never-seen"])
    Tombstones(tmp_path).add("thing", ["u-other"])

    after = without_erased(intake_of(["a", "u-erased", "u-other", "u-erased"], ["u-erased", "b"]),
                           {"user": "user"}, ids)  # fmt: skip

    assert after.accepted.get_column("user").to_list() == ["a", "u-other"]
    assert after.rejects.rows() == [
        ("f", 9, "user", "odd", None, 5),
        ("f", 9, "user", "odd", "b", 5),
        ("f", -1, "", "erased", None, None),
        ("f", -2, "", "erased", None, None),
    ]
    assert (after.counts[0]["accepted"], after.counts[0]["rejected"]) == (2, 4)
    for path in (tmp_path / "erasure").iterdir():
        assert b"erased" not in path.read_bytes()
    again = Tombstones(tmp_path)
    assert again.among("user", ["x", "u-never-seen"]) == ["u-never-seen"]
    assert again.among("thing", ["u-erased"]) == []


def test_without_tombstones_nothing_is_looked_at(tmp_path):
    intake = intake_of(["a"])
    assert without_erased(intake, {"user": "user"}, {"user": IdStore(tmp_path / "i/u")}) is intake


def test_a_lost_secret_is_told_and_no_key_slips_back(tmp_path):
    ids = {"user": IdStore(tmp_path / "ids" / "user")}
    Tombstones(tmp_path).add("user", ["u-erased"])
    os.unlink(tmp_path / "erasure" / "secret")

    with pytest.raises(ArtefactInvalid, match="secret: is missing"):
        without_erased(intake_of(["u-erased"]), {"user": "user"}, ids)


def test_an_index_whose_key_was_erased_is_never_given_again(tmp_path):
    ids = IdStore(tmp_path)
    ids.add(pl.Series(["a", "b"]))
    ids.save()
    forget(tmp_path, pl.Series(["b"]))

    again = IdStore(tmp_path)
    again.add(pl.Series(["c", "b"]))

    assert again.frame.rows() == [("a", 0), (None, 1), ("b", 2), ("c", 3)]


def test_late_rows_of_the_doomed_are_told_as_erased(tmp_path):
    # a unit: events of users 7 and 8; late rows of 7 at times 5, 5 and of 8 at 5
    schema = REJECTS.empty().schema
    late = [{"file": "f", "row": n, "column": "ts", "reason": LATE, "value": "then", "time_us": 5}
            for n in range(3)]  # fmt: skip
    pl.DataFrame({"time_us": [10, 11], "user_id": [7, 8]}).write_parquet(
        tmp_path / "events.parquet"
    )
    pl.DataFrame({"time_us": [5, 5, 5], "user_id": [7, 7, 8]}).write_parquet(
        tmp_path / "late.parquet"
    )
    pl.DataFrame(late, schema=schema).write_parquet(tmp_path / "rejects.parquet")
    counts = {"source": "likes", "file": "f", "read": 5, "accepted": 2, "rejected": 3,
              "not_yet": 0, "identical": 0}  # fmt: skip
    write_json(tmp_path / "manifest.json", {"intake": [counts]})
    columns = EntityColumns({"likes": {"user_id": "user"}}, "user", "user")

    change, kept = unit_change(tmp_path, PurePath("store/events/likes/dt/x"), columns,
                               Doomed({}, {"user": np.array([7])}))  # fmt: skip

    assert kept.rows() == [(11, 8)]
    intake = change.facts.pop("intake")
    assert [(one["accepted"], one["rejected"]) for one in intake] == [(1, 4)]
    assert change.facts == {"rows": 1, "first_us": 11, "last_us": 11, "latest_us": 11, "late": 1}
    assert change.rows == 3
    for name, write in change.writes.items():
        write(tmp_path / name)
    rejects = pl.read_parquet(tmp_path / "rejects.parquet")
    assert rejects.select("row", "reason").rows() == [
        (2, LATE),
        *((-n, "erased") for n in (1, 2, 3)),
    ]
    assert pl.read_parquet(tmp_path / "late.parquet").rows() == [(5, 8)]


def test_a_long_table_that_can_name_nobody_names_nobody():
    # Longer than what one thread filters at a time.
    frame = pl.DataFrame({"weight": np.arange(200_000)})
    doomed = Doomed({"user": frozenset({"u1"})}, {"user": np.array([7])})

    assert frame.filter(doomed.rows(frame, {}, {})).height == 0
    assert frame.filter(~doomed.rows(frame, {}, {})).height == 200_000
    assert frame.select(doomed.rows(frame, {"weight": "user"}, {})).to_series().sum() == 1


def test_a_model_forgets_the_labels_of_the_doomed():
    labels = pl.DataFrame(
        {"key": ["a", "b"], "anchor_us": [1, 1], "bad": [True, False], "fold": [0, 3]}
    )
    columns = EntityColumns({}, "user", "user")
    doomed = Doomed({"user": frozenset({"b"})}, {})

    for folder in ("model", "challengers/trees"):
        place = PurePath(f"runs/night/train/{folder}/training_labels.parquet")
        left = without_doomed(labels, place, columns, doomed)
        assert left.get_column("key").to_list() == ["a"]


def test_a_model_forgets_where_the_doomed_stood(tmp_path):
    frame = pl.DataFrame(
        {"key": ["a", "b"], "weight": [1.0, 2.0], "place": [[0.1, 0.2], [0.3, 0.4]]}
    )
    columns = EntityColumns({}, "user", "user")
    doomed = Doomed({"user": frozenset({"b"}), "thing": frozenset({"a"})}, {})
    model = PurePath("runs/night/train/model/positions")

    left = {}
    for relation in ("knows__user", "rev_made_by__thing", "likes__other"):
        path = tmp_path / model / relation / "axes.parquet"
        path.parent.mkdir(parents=True)
        write_parquet(path, frame, AXES)
        found = table_change(path, path.relative_to(tmp_path), columns, doomed)
        if found is not None:
            table_write(found[0], path.stem)(path)
        left[relation] = read_parquet(path).get_column("key").to_list()

    assert left == {"knows__user": ["a"], "rev_made_by__thing": ["b"], "likes__other": ["a", "b"]}


def test_acts_of_a_ring_on_an_erased_object_go_with_it(tmp_path):
    # A link that only the erased touched is forgotten; one of the same name that is a device stays.
    rows = [("link", "gone", "a"), ("link", "held", "a"), ("device", "gone", "b"),
            ("near.text", "gone", "c")]  # fmt: skip
    named = pl.DataFrame(rows, schema=["object_type", "object", "key"], orient="row")
    acts = pl.concat([named, RING_ACTS.empty()], how="diagonal_relaxed")
    doomed = Doomed({"link": frozenset(["gone"]), "user": frozenset(["z"])}, {})

    left = RunEraser(None, doomed, Rewriter("e"))._without_objects(acts)

    assert left.select("object_type", "object").rows() == [
        ("link", "held"), ("device", "gone"), ("near.text", "gone"),
    ]  # fmt: skip
    same = RunEraser(None, Doomed({}, {}), Rewriter("e"))._without_objects(acts)
    assert same is acts
