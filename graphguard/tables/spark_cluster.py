"""A standalone Spark cluster on this machine alone: for tests, trials and benchmarks.

Master and workers are processes of their own on the loopback address, as on a real cluster, so a
worker can be lost. Uses the JVM classes that pyspark brings; needs Java 17 on the path.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyspark

from graphguard.errors import EngineUnreachable

HOST = "127.0.0.1"
PLACE = "a cluster on this machine"
START_S = 60.0
SCALA = "2.13"
"""What every Spark 4 is built with."""
CLASSES = "org.apache.spark.deploy"


class SparkCluster:
    """A master and its workers; ends them all when it is left.

    Args:
        folder: Folder for logs and the workers' files.
        workers: Number of workers, of one core each.
        worker_memory_mb: Memory a worker may give to executors.

    Raises:
        EngineUnreachable: Java is absent, or the cluster is not up within a minute.
    """

    def __init__(self, folder: Path, workers: int = 2, worker_memory_mb: int = 1024) -> None:
        self._folder = folder
        self._memory_mb = worker_memory_mb
        self._masters: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.master = ""
        if shutil.which("java") is None:
            reason = "no `java` on the path, Java 17 is needed"
            raise EngineUnreachable(PLACE, reason)
        try:
            self._masters.append(self._start("master.Master", "master", "--webui-port", "0"))
            log = self._awaited("master", r"Starting Spark master at (spark://\S+)")
            self.master = log.group(1)
            for _ in range(workers):
                self.add_worker()
        except BaseException:
            self.close()
            raise

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker and wait until the master has it."""
        name = f"worker{len(self.workers)}"
        sizes = ("--cores", "1", "--memory", f"{self._memory_mb}m", "--webui-port", "0")
        place = ("--work-dir", str(self._folder / name))
        worker = self._start("worker.Worker", name, *sizes, *place, self.master)
        self.workers.append(worker)
        self._awaited(name, "Successfully registered with master")
        return worker

    def kill_worker(self, number: int) -> None:
        """Kill a worker and its executors at once, as a lost machine would be."""
        # Each worker leads a process group of its own; executors are its children.
        os.killpg(self.workers[number].pid, signal.SIGKILL)
        self.workers[number].wait()

    def close(self) -> None:
        """End every process of the cluster."""
        for process in (*self.workers, *self._masters):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, name: str, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        home = Path(pyspark.__file__).parent
        options = ("-Xmx256m", "-Dspark.master.rest.enabled=false", "-Dspark.ui.enabled=false")
        command = ["java", "-cp", f"{home}/jars/*", *options, f"{CLASSES}.{name}"]
        # Without the version of Scala a worker looks for it in Spark's own build tree.
        settings = {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_SCALA_VERSION": SCALA,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{log}.log").open("wb") as output:
            return subprocess.Popen(
                [*command, "--host", HOST, "--port", "0", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | settings,
                start_new_session=True,
            )

    def _awaited(self, log: str, pattern: str) -> re.Match[str]:
        path = self._folder / f"{log}.log"
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
            if found:
                return found
            time.sleep(0.1)
        reason = f"{log} is not up after {START_S:.0f} s, see {path}"
        raise EngineUnreachable(PLACE, reason)
