"""After what `make setup` compiles ahead, an evaluation has nothing to compile."""

import json
import subprocess
import sys
from pathlib import Path

from evaluation_factory import made

COMPILED = """
import sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from bcnet.evaluation import evaluate, warm
from bcnet.params.results import Evaluate

def compiled():
    functions = [each for name in list(sys.modules) for each in vars(sys.modules[name]).values()
                 if name.startswith("bcnet.") and isinstance(each, Dispatcher)]
    return {(each.__module__, each.__name__, signature) for each in functions for signature in each.signatures}

warm.main()
ahead = compiled()
assert ahead
evaluate.evaluate(Path("truth.json"), Path("found.json"), Path("out.json"), Evaluate())
print(compiled() - ahead)
"""


def test_nothing_is_left_to_compile(tmp_path: Path) -> None:
    truth, predictions = made(0)
    for annotation in truth["annotations"]:
        annotation.pop("occlusion", None)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(predictions))
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split("\n")[-2] == "set()"
