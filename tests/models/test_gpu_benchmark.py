"""benchmarks/methods/gpu.py, tried on a CPU at tiny sizes: what it measures has meaning on a GPU only."""

from pathlib import Path
from typing import Any

import gpu
import gpu_table
import orjson
import pytest
import torch
from gpu_bounds import Bound, moved_bytes

TINY = ["--device", "cpu", "--preset", "shapes", "--backbone", "efficientnet_lite0", "--size", "64", "64"]
TINY += ["--batches", "1", "--seconds", "0"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py", *TINY, *arguments])
    gpu.main()


def without_detectron2s(_: Any) -> torch.nn.Module:
    raise ImportError("No module named 'detectron2'")


def test_a_row_for_each_variant_and_a_line_for_what_could_not_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "of_detectron2", without_detectron2s)
    monkeypatch.setattr(gpu, "side_by_side", lambda *_: None)
    run(monkeypatch, "--variants", "mask-rcnn", "condinst", "--out", str(tmp_path / "gpu.json"))
    table = orjson.loads((tmp_path / "gpu.json").read_bytes())
    assert [row["name"] for row in table["training"]] == ["mask-rcnn", "condinst"]
    assert [row["name"] for row in table["inference"]] == ["mask-rcnn", "condinst"]
    assert all(row["seconds"] > 0 for row in table["training"] + table["inference"])
    assert all(row["operations"] > 0 and row["bytes"] > 0 for row in table["training"])
    assert table["left_out"] == ["detectron2's Mask R-CNN: No module named 'detectron2'"]
    text = (tmp_path / "gpu.md").read_text()
    row = table["training"][0]
    assert f"| mask-rcnn | no | 1 | {1 / row['seconds']:.2f} | {1000 * row['seconds']:.0f} |" in text
    assert "No module named 'detectron2'" in text


def test_nothing_is_begun_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "of_detectron2", without_detectron2s)
    run(monkeypatch, "--variants", "condinst", "--limit", "0", "--out", str(tmp_path / "gpu.json"))
    table = orjson.loads((tmp_path / "gpu.json").read_bytes())
    assert not table["training"]
    assert "condinst, batch 1: the time was up" in table["left_out"]


def test_two_processes_are_counted_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub = tmp_path / "stub.py"
    stub.write_text("print('a step'); print(0.5)")
    monkeypatch.setattr(gpu, "__file__", str(stub))
    plan = gpu.Plan(None, "", torch.device("cpu"), (64, 64), 0.0, float("inf"))  # type: ignore[arg-type]
    gpu.side_by_side(plan, [], "bcnet", 2)
    assert [row["seconds"] for row in plan.table.processes] == [[0.5], [0.5, 0.5]]
    plan.table.machine = {"device": "CPU", "torch": "", "size": [1, 1], "gflops": 1, "gflops_amp": 0, "gigabytes": 1}
    assert "| bcnet | 2 | 2 | 8.00 |" in gpu_table.page(plan.table)


def test_without_a_gpu_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="no GPU"):
        gpu.main()


def test_all_methods_of_the_preset_are_measured() -> None:
    settings = gpu.params.load(Path("presets/coco.yaml"))
    chosen = [settings.variant(name) for name in gpu.variants(settings).values()]
    assert {variant.method for variant in chosen} == {variant.method for variant in settings.variants.values()}
    assert len({(variant.method, getattr(variant, "detector", None)) for variant in chosen}) == len(chosen)


def test_bytes_are_those_of_inputs_and_outputs() -> None:
    a, b = torch.zeros(10, 20), torch.zeros(20, 5)
    assert moved_bytes(lambda: (a @ b).T) == pytest.approx(4 * (200 + 100 + 50) / 1e9)


def test_shares_are_of_the_time_that_the_best_would_take() -> None:
    shares = Bound(gflops=100, gflops_amp=1000, gigabytes=50).shares(operations=200, moved=10, seconds=4, amp=False)
    assert shares == {"of_operations": pytest.approx(0.5), "of_bytes": pytest.approx(0.05)}


def test_the_page_is_what_was_measured() -> None:
    data = gpu_table.DATA
    table = gpu_table.Table(**orjson.loads(data.read_bytes())) if data.exists() else None
    assert data.with_suffix(".md").read_text(encoding="utf-8") == gpu_table.page(table)
