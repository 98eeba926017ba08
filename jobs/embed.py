"""Embed: the champion's probability, calibrated, and its vector for every user to be scored."""

from pathlib import Path

import numpy as np
import polars as pl

from graphguard.graph.hetero import HeteroGraph
from graphguard.jobs.context import Facts, Job
from graphguard.jobs.slices import slices
from graphguard.jobs.train import graph_context, load_dataset
from graphguard.models.base import load_model
from graphguard.models.calibrate import Calibrator
from graphguard.schema import PREDICTIONS
from graphguard.tables.files import write_parquet
from graphguard.tables.workspace import Run

CALIBRATOR = "calibrator.json"


def run(job: Job, out: Path) -> Facts:
    """Write predictions.parquet, calibrator.json and embeddings.npy.

    The calibrator is that of the training, at tonight's level. An embedding's row is the user's
    dense index; NaN where it is not scored.
    """
    graph = HeteroGraph.open(job.run.stage("build_graph") / "graph")
    data = load_dataset(job, graph)
    context = graph_context(job, graph, data)
    folder = job.run.file("train", "model")
    model, calibrator = load_model(folder), Calibrator.load(folder / CALIBRATOR)
    chosen = data.inside([slices(job.config, job.as_of).score])
    rows = data.rows.take(chosen)
    raw = model.predict(rows, context)
    tonight = calibrator.tonight(raw)
    tonight.save(out / CALIBRATOR)
    job.reporter.step(1, 2, "predictions")
    target = job.config.training.target
    table = pl.DataFrame(
        {
            "key": data.keys.gather(chosen),
            "entity": graph.storage(target)[rows.node],
            "anchor_us": rows.anchor_us,
            "raw": raw.astype(np.float64),
            "risk_score": tonight.apply(raw).astype(np.float64),
        }
    )
    write_parquet(out / "predictions.parquet", table.sort("key"), PREDICTIONS)
    vectors = model.embed(rows, context)
    size = graph.num_nodes[target]
    embeddings = np.full((size, vectors.shape[1]), np.nan, dtype=np.float32)
    embeddings[rows.node] = vectors
    np.save(out / "embeddings.npy", embeddings)
    job.reporter.step(2, 2, "embeddings")
    shares = {"share_before": calibrator.share, "share_expected": tonight.share}
    return {"rows": len(rows), "dim": int(vectors.shape[1]), **shares}


def calibrator_tonight(run: Run) -> Calibrator:
    """The calibrator that made a night's probabilities.

    Raises:
        NotCommitted: The run has not been trained, or embedded.
        ArtefactInvalid: The file is damaged.
    """
    path = run.stage("embed") / CALIBRATOR
    # An older program's nights stood at the level of their training.
    return Calibrator.load(path if path.exists() else run.file("train", "model") / CALIBRATOR)
