"""Damaged files, by the benchmark that counts what becomes of them in nights of the real ingest."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphguard.config.limits import LimitConfig
from graphguard.errors import FileUnreadable
from graphguard.tables.files import read_foreign_parquet
from graphguard.tables.guard import FileLimits, Guard

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize("mutants", [60, pytest.param(5000, marks=pytest.mark.slow)])
def test_no_damage_passes_for_data_where_files_are_vouched_for_and_none_ends_a_night(
    mutants, tmp_path
):
    command = [sys.executable, str(FUZZ), "--mutants", str(mutants), "--seed", "100000"]
    settings = {**os.environ, "GRAPHGUARD_BENCH": str(tmp_path)}

    ended = subprocess.run(command, env=settings, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-5000:]

    found = json.loads(ended.stdout.splitlines()[-1].removeprefix("RESULT "))
    assert found["manifest_refused"] == mutants
    assert found["page_checksums_silently_wrong"] == 0
    assert found["page_checksums_rows_rejected"] == 0
    assert found["page_checksums_refused"] + found["page_checksums_unchanged"] == mutants
    # Nothing vouches for these, and the run says so; most are refused all the same.
    assert 0.5 * mutants < found["neither_refused"] < mutants
    for regime in ("manifest", "page_checksums", "neither"):
        assert found[f"{regime}_good_lost"] == 0
        assert found[f"{regime}_died"] == 0
        assert found[f"{regime}_peak_gb"] < 2
    assert found["proof_slowest_s"] < 10


def test_a_file_is_proved_as_it_will_be_read(monkeypatch, tmp_path):
    # Here the footer mistakes a column's type: only who asks it which keys repeat dies of it.
    monkeypatch.syspath_prepend(str(FUZZ.parent))
    fuzz = importlib.import_module("fuzz")
    _, whole = fuzz.whole_file(fuzz.ROWS, checksums=False, prefix="somebody-with-a-long-name-")
    path = tmp_path / "a.parquet"
    path.write_bytes(fuzz.damaged(whole, 109_686)[1])

    with Guard(FileLimits.of(LimitConfig())) as guard:
        assert guard.prove(path, fuzz.COLUMNS, decode=True).rows == fuzz.ROWS
        assert len(read_foreign_parquet(path, fuzz.COLUMNS)) == fuzz.ROWS
        for decode in (True, False):
            with pytest.raises(FileUnreadable, match="its reader died"):
                guard.prove(path, fuzz.COLUMNS, coded=fuzz.KEYS, decode=decode)
        path.write_bytes(whole)
        assert guard.prove(path, fuzz.COLUMNS, coded=fuzz.KEYS, decode=True).rows == fuzz.ROWS
