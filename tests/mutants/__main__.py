"""Faults put into the code on purpose, one at a time: which test notices each, and which faults nobody notices.

    make mutants                                  the table of faults (mutants.toml), two hours on two cores
    python -m tests.mutants --only "momentum"     those whose name has this text
    python -m tests.mutants --generated 100       as many again that cosmic-ray makes, drawn from all that it can make

A fault is put into a copy of the package; the tests of its file run on the copy until one fails. The exit code is 1 if
a fault survives.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/bcnet"
TABLE = Path(__file__).parent / "mutants.toml"
TIMEOUT = 1800  # seconds; a fault that makes its tests last longer counts as noticed
ENDLESS = "the tests did not end"
# What cosmic-ray changes: numbers, comparisons, conditions, arithmetic, loops; beginnings of its operators' names.
OPERATORS = (
    "core/NumberReplacer",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Div",
    "core/ReplaceUnaryOperator_Delete",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ZeroIterationForLoop",
)


@dataclass(frozen=True)
class Mutant:
    """A fault: its name, the module below src/bcnet, that module's text with the fault, and the tests to run."""

    name: str
    module: str
    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The test that noticed a fault first (None: nobody), and the seconds until then."""

    mutant: Mutant
    noticed_by: str | None
    seconds: float


def tests_of(module: str, table: dict) -> tuple[str, ...]:
    """The test files that guard a module, the quickest first: all entries of `[tests]` whose pattern fits."""
    found = [test for pattern, tests in table["tests"].items() if fnmatch(module, pattern) for test in tests]
    if not found:
        raise SystemExit(f"{TABLE}: [tests]: no pattern fits {module}")
    return tuple(dict.fromkeys(found))


def written(table: dict) -> Iterator[Mutant]:
    """The faults of the table.

    Raises:
        SystemExit: the text that a fault replaces does not stand in its module exactly once.
    """
    for entry in table["mutant"]:
        text = (PACKAGE / entry["module"]).read_text()
        if text.count(entry["old"]) != 1:
            raise SystemExit(f"{TABLE}: {entry['name']}: {entry['old']!r} stands {text.count(entry['old'])} times")
        tests = (*entry.get("tests", ()), *tests_of(entry["module"], table))
        changed = text.replace(entry["old"], entry["new"])
        yield Mutant(entry["name"], entry["module"], changed, tuple(dict.fromkeys(tests)))


def generated(table: dict, count: int, seed: int) -> list[Mutant]:
    """Faults that cosmic-ray makes, drawn from all that it can make in the modules of `generate`; no annotations."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    modules = sorted(
        str(path.relative_to(PACKAGE)) for pattern in table["generate"]["modules"] for path in PACKAGE.glob(pattern)
    )
    found = []
    for module in modules:
        text = (PACKAGE / module).read_text()
        plain, seen = code_only(text), set()
        for name in sorted(name for name in operator_names() if name.startswith(OPERATORS)):
            for occurrence in range(1000):
                changed = mutate_code(text, get_operator(name)(), occurrence)
                if changed is None:
                    break
                try:
                    code = code_only(changed)
                except SyntaxError:  # it is no program
                    continue
                if code in seen or code == plain:  # a change in an annotation or a docstring
                    continue
                seen.add(code)
                found.append(Mutant(f"{module} {place(text, changed)}", module, changed, tests_of(module, table)))
    random.Random(seed).shuffle(found)
    print(f"{len(found)} faults can be made in {len(modules)} modules, {min(count, len(found))} are drawn", flush=True)
    return found[:count]


def code_only(text: str) -> str:
    """The program without annotations and comments, to tell whether a change means anything."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(0)
    return ast.unparse(tree)


def place(text: str, changed: str) -> str:
    """The line that differs, as `12: old -> new`."""
    pairs = zip(text.splitlines(), changed.splitlines(), strict=False)
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            return f"{number}: {old.strip()} -> {new.strip()}"
    return "at the end"


def run_tests(mutant: Mutant | None, tests: Iterable[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests on a copy of the package, with a fault or none.

    Raises:
        subprocess.TimeoutExpired: they last longer than `TIMEOUT`.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(PACKAGE, Path(folder) / "bcnet")
        if mutant is not None:
            (Path(folder) / "bcnet" / mutant.module).write_text(mutant.text)
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=no", *options]
        paths = [f"tests/{test}" for test in tests if (ROOT / "tests" / test.split("::")[0]).exists()]
        return subprocess.run(
            [*command, *paths], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )


def failed(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The tests that failed, without their parameters; the end of the output if pytest itself did."""
    names = re.findall(r"^(?:FAILED|ERROR) tests/([^\s\[]+)", result.stdout, re.MULTILINE)
    return names or ([(result.stdout + result.stderr).strip()[-80:]] if result.returncode else [])


def run(mutant: Mutant) -> Outcome:
    """Run a fault's tests until one fails."""
    since = time.monotonic()
    try:
        names = failed(run_tests(mutant, mutant.tests, "-x"))
    except subprocess.TimeoutExpired:
        names = [ENDLESS]
    return Outcome(mutant, names[0] if names else None, time.monotonic() - since)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only faults whose name has this text")
    parser.add_argument("--generated", type=int, metavar="N", help="N faults that cosmic-ray makes, not the table's")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (default 2)")
    args = parser.parse_args()
    table = tomllib.loads(TABLE.read_text())
    mutants = list(written(table)) if args.generated is None else generated(table, args.generated, args.seed)
    mutants = [mutant for mutant in mutants if args.only in mutant.name]
    if not mutants:
        raise SystemExit(f"no fault's name has {args.only!r}")
    outcomes = []
    with ThreadPoolExecutor(args.jobs) as pool:
        for outcome in pool.map(run, mutants):
            outcomes.append(outcome)
            print(f"{outcome.seconds:5.0f} s  {outcome.noticed_by or 'SURVIVES'}  <- {outcome.mutant.name}", flush=True)
    # a test that fails anyhow would seem to notice every fault
    noticing = sorted({outcome.noticed_by for outcome in outcomes} - {None, ENDLESS})
    broken = failed(run_tests(None, noticing)) if noticing else []
    if broken:
        raise SystemExit(f"without any fault, {broken[0]} fails already: fix that first")
    survivors = [outcome for outcome in outcomes if outcome.noticed_by is None]
    print(f"{len(outcomes)} faults, {len(outcomes) - len(survivors)} noticed, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
