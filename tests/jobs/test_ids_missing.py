"""A dictionary that lost what the store names is refused, before its indices are given again."""

import shutil

import pytest

from graphguard.errors import Exit, IdsMissing
from graphguard.jobs.nightly import Night, run_night
from graphguard.tables.files import read_json, write_json
from graphguard.tables.workspace import Workspace


@pytest.mark.parametrize("lost", ["newest", "all"])
def test_a_dictionary_that_lost_segments_is_refused_before_a_key_gets_their_indices(
    make_config, lost
):
    run_night(Night(make_config("2026-01-20"), last="ingest"))
    next_day = make_config("2026-01-21")
    folder = next_day.workspace_folder / "ids" / "device"
    [whole] = sorted(folder.iterdir())
    kept = {one.name: one.read_bytes() for one in folder.iterdir()}
    if lost == "newest":
        store = Workspace(next_day.workspace_folder).ids("device")
        shutil.rmtree(folder)
        half = type(store)(folder)
        half.add(store.frame.get_column("key").head(store.end // 2))
        half.save()
    else:
        whole.unlink()
    before = sorted(next_day.workspace_folder.glob("store/events/*/*"))

    with pytest.raises(IdsMissing, match=r"ids/device: holds \d+ indices, .* names \d+") as found:
        run_night(Night(next_day, last="ingest"))

    assert found.value.exit_code == Exit.DATA
    assert sorted(next_day.workspace_folder.glob("store/events/*/*")) == before
    shutil.rmtree(folder)
    folder.mkdir()
    for name, octets in kept.items():
        (folder / name).write_bytes(octets)
    assert run_night(Night(next_day, last="ingest")).has("ingest")


def test_edges_of_an_older_program_beyond_their_dictionary_are_told(make_config):
    config = make_config("2026-01-20")
    run = run_night(Night(config, last="ingest"))
    for path in config.workspace_folder.glob("store/events/*/*/*/manifest.json"):
        write_json(path, {name: one for name, one in read_json(path).items() if name != "reach"})
    for path in (config.workspace_folder / "ids" / "device").iterdir():
        path.unlink()

    with pytest.raises(IdsMissing, match=r"ids/device: holds 0 indices"):
        run_night(Night(config, last="build_graph", run_id=run.run_id))
