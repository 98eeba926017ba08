import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
{first}
{second}
from graphguard.index.neighbours import neighbourhoods
from graphguard.index.protocol import IndexSettings
import torch
rows = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
before = torch.from_numpy(rows) @ torch.from_numpy(rows).T
ids = neighbourhoods(rows, 3, IndexSettings(engine="{engine}", threads=2)).ids
after = torch.from_numpy(rows) @ torch.from_numpy(rows).T
print(ids.shape, bool((before == after).all()), torch.get_num_threads() > 0)
"""


@pytest.mark.parametrize(
    "order", [("import torch", "import faiss"), ("import faiss", "import torch")]
)
@pytest.mark.parametrize("engine", ["ivf", "hnsw"])
def test_faiss_and_torch_live_in_one_process(order, engine):
    # Each brings its own OpenMP: a clash aborts or hangs the process, so it is another one.
    script = SCRIPT.format(first=order[0], second=order[1], engine=engine)

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )

    assert (done.returncode, done.stdout) == (0, "(3000, 3) True True\n"), done.stderr
