"""The Python in README and docs/graph.md runs as it stands, on a night's workspace."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import graphguard

TOP = Path(__file__).parents[1]


def examples(name):
    text = (TOP / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


@pytest.fixture
def here(night, tmp_path, monkeypatch):
    """A folder in which the examples' paths lead to the night's workspace, and its newest run."""
    monkeypatch.chdir(tmp_path)
    workspace = night[1].workspace.root
    (tmp_path / "workspace").symlink_to(workspace)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "workspace").symlink_to(workspace)
    run = graphguard.open_run("workspace")
    np.save("ages.npy", np.ones((run.graph().num_nodes["user"], 1), dtype=np.float32))
    return run


@pytest.mark.parametrize("name", ["README.md", "docs/graph.md"])
def test_examples_run_as_they_stand(name, here):
    blocks = examples(name)
    user = here.graph().keys("user")[0]
    known = {"graphguard": graphguard}

    for block in blocks:
        # Their users are those of another platform.
        named = re.sub(r"user:u\d+", f"user:{user}", block)
        exec(textwrap.dedent(re.sub(r'\["u1", "u2"\]', f"[{user!r}]", named)), known)

    assert blocks
    if name == "docs/graph.md":
        assert known["matrix"].shape[0] == here.graph().num_nodes["user"]
    else:
        held = sum(len(keys) for keys in known["near"].nodes().values())
        assert known["drawing"].number_of_nodes() == held > 1
