"""A real standalone cluster on loopback, and both engines for one test."""

import importlib.util
from pathlib import Path

import pytest

from graphguard.config.sections import SparkConfig
from graphguard.tables.engine import PolarsEngine

NEEDED = "pyspark"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Everything in this folder is marked, and skipped with a reason where Spark is not there."""
    missing = importlib.util.find_spec(NEEDED) is None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.spark)
            item.add_marker(pytest.mark.slow)
            if missing:
                reason = "pyspark is not installed: pip install 'graphguard[spark]'"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """One master and two workers, each in a process of its own."""
    from graphguard.tables.spark_cluster import SparkCluster

    with SparkCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="session")
def spark(cluster, tmp_path_factory):
    """The Spark engine on the cluster's master."""
    from graphguard.tables.spark_engine import SparkEngine

    settings = SparkConfig(
        master=cluster.master,
        partitions=4,
        executor_memory_mb=768,
        driver_memory_mb=768,
        options={"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"},
    )
    engine = SparkEngine(settings, tmp_path_factory.mktemp("scratch"))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def polars():
    return PolarsEngine()
