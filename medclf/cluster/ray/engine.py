"""`medclf-predict --engine ray`, from its options to its output."""

import time

from medclf.cluster.ray.commits import open_output
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.pool import RayPool, connected, node_cores, worker_cores
from medclf.cluster.ray.progress import Progress, Result
from medclf.cluster.ray.run import Run
from medclf.extras import require


def predict_ray(options: RayOptions, *, progress: Progress | None = None) -> Result:
    """Classify tables with the machines of a Ray cluster.

    Args:
        options: What to classify, where, and what to write.
        progress: Called twice a second or so.

    Returns:
        What was done.

    Raises:
        DataError: A table or a row cannot be used; the parts of the others are committed.
        ClusterError: The cluster cannot be reached, or its workers cannot be used.
        ExtraError: Ray is not installed.
        OutputError: The output cannot be written, or the run to resume was another. Where parts are committed, this
            and every other error has a note that says so.
    """
    require("ray", extra="ray")  # before anything is looked at
    begun = time.monotonic()
    run = Run(options, progress or (lambda _: None))
    with open_output(run.output, resume=options.resume, overwrite=options.overwrite) as (output, goes_on):
        run.take(output, goes_on=goes_on)
        with connected(options) as ray:
            cores = worker_cores(node_cores(ray), options.workers, options.threads)
            pool = RayPool(ray, run.setting)
            try:
                return run.execute(pool, cores, begun=begun)
            finally:
                pool.close()
