from graphguard.jobs.pipeline import PIPELINE, STAGE_NAMES


def test_each_table_has_one_writer_and_is_read_after_it():
    made = {"logs"}
    for stage in PIPELINE:
        assert {t for t in stage.reads if not t.startswith("previous:")} <= made, stage.name
        assert not made & set(stage.writes), stage.name
        made |= set(stage.writes)


def test_what_is_carried_over_from_the_night_before_is_made_every_night():
    written = {table for stage in PIPELINE for table in stage.writes}
    carried = {t.removeprefix("previous:") for s in PIPELINE for t in s.reads if ":" in t}

    assert carried <= written


def test_stage_names_are_verbs_of_modules_in_jobs():
    assert STAGE_NAMES == tuple(stage.run.__module__.rpartition(".")[2] for stage in PIPELINE)
