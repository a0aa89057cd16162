"""The table of draws: a run's numbers on the draws of the bootstrap, kept by `evaluate` for `compare`.

It holds hashes of the two tables that they come from: with other tables they are not read, but drawn anew.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bcnet.evaluation.metrics.occlusion.equal_size import EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT
from bcnet.evaluation.metrics.occlusion.occlusion_bins import Metric
from bcnet.evaluation.statistics.drawn import Drawn
from bcnet.files import sha256

DERIVED = (EQUAL_SIZE, EQUAL_SIZE_GAP, GAP, KEPT)  # from the others in no time
AP = ("AP", "AP50", "AP75")  # of masks: all three come from the same precisions


def draw_table(drawn: Mapping[Metric, Drawn], tables: Sequence[Path]) -> pa.Table:
    """Of each number a column of (1 + draws) values, the split's first, 0 to 1, NaN where it is undefined.

    Args:
        drawn: of a run; DERIVED are left out.
        tables: of its detections and of its objects, which the numbers are of.
    """
    columns = {json.dumps(metric): own.values for metric, own in drawn.items() if metric.metric not in DERIVED}
    return pa.table(columns, metadata={"tables": _hash(tables)})


def kept_draws(path: Path, tables: Sequence[Path], draws: int) -> dict[Metric, np.ndarray]:
    """The columns of a table of draws; nothing if there is none, or one of other tables or of so many draws.

    Raises:
        pyarrow.ArrowException, OSError: it is no table.
    """
    if not path.exists():
        return {}
    table = pq.read_table(path)
    if table.num_rows != 1 + draws or (table.schema.metadata or {}).get(b"tables") != _hash(tables).encode():
        return {}
    return {Metric(*json.loads(name)): table[name].to_numpy() for name in table.column_names}


def _hash(tables: Sequence[Path]) -> str:
    return " ".join(map(sha256, tables))
