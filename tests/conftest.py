"""What several tests share."""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: torch's threads would wait for each other

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from page_factory import Page

hypothesis.settings.register_profile(  # what is compiled at its first use takes its time, and so does a busy machine
    "bcnet", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("bcnet")


LONGEST = (  # files that take half a minute or more, so that none of them is still running when all others are done
    "methods/test_conformance.py",
    "workflow/test_workflow.py",
    "workflow/test_pipeline.py",
    "models/test_processes.py",
    "training/test_loss_curves.py",
    "training/test_training.py",
    "report/page/test_browser_layout.py",
    "workflow/test_package.py",
    "workflow/test_remotes.py",
    "training/test_learning.py",
    "training/processes/test_stopping.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the Makefile tells pytest-xdist to leave it so."""
    items.sort(key=lambda item: next((at for at, path in enumerate(LONGEST) if item.path.match(path)), len(LONGEST)))


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end: garbage is not looked for among their millions of objects."""
    gc.freeze()


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Training flushes them in its process; hypothesis refuses to draw numbers then."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made run with its page, which no test changes."""
    from report_factory import write_page

    root = tmp_path_factory.mktemp("run")
    write_page(root)
    return root


@pytest.fixture
def copied(made_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change and report again."""
    from report_factory import put_model

    put_model(monkeypatch)
    shutil.copytree(made_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def text(made_run: Path) -> str:
    """The made run's page as it is written."""
    return (made_run / "reports" / "demo" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(text: str) -> Page:
    """The made run's page as a browser reads it."""
    return Page(text)
