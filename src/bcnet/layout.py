"""Where the files of `data/` and `reports/` lie, and the command that makes each of them.

No other module of the package spells out such a path, and the Snakemake workflow imports this one. `dvc.yaml` cannot
import, so it repeats the paths: a test compares the two graphs.
"""

from dataclasses import dataclass
from pathlib import Path

DATA, REPORTS, LOGS = Path("data"), Path("reports"), Path("logs")
PRETRAINED = Path("pretrained")  # a user's files that variants start from
PARTS = ("train", "val")  # of every dataset
TEST = "test"  # of a user's dataset that has one; no stage reads it
TEST_DEV = "test-dev"  # the images of COCO's test server: they have no annotations here
IMPORTED, BROUGHT = "imported", "brought"  # in the place of a seed, where nothing was trained or predicted here


def downloads(data: Path = DATA) -> Path:
    """The folder of downloaded files, shared by all datasets."""
    return data / "downloads"


def checkpoints(data: Path = DATA) -> Path:
    """The folder of unfinished work: a subfolder for each training or prediction, named by what determines it."""
    return data / "checkpoints"


def lock(*names: str, data: Path = DATA) -> Path:
    """The lock of a piece of work, named by what it makes."""
    return data / "locks" / ".".join(names)


def checked(data: Path = DATA) -> Path:
    """The folder of the record of checked annotation files."""
    return data / "checked"


@dataclass(frozen=True)
class DatasetFiles:
    """The files of a dataset below its folder, `data/DATASET`."""

    folder: Path

    @property
    def fetch_command(self) -> str:
        """Makes annotations, images and image hashes of train and val."""
        return f"bcnet fetch {self.folder.name}"

    @property
    def fetch_test_command(self) -> str:
        """Makes the part test: annotations, images and image hashes, or of COCO `test_list` and its images."""
        return f"{self.fetch_command} --test"

    def annotations(self, part: str) -> Path:
        """The annotation file of train, val, test, or a set of synthetic images."""
        return self.folder / f"annotations/instances_{part}.json"

    @property
    def test_list(self) -> Path:
        """COCO's list of the images of test-dev."""
        return self.folder / "annotations/image_info_test-dev2017.json"

    def images(self, part: str) -> Path:
        """The image folder of train, val, test, or a set of synthetic images."""
        return self.folder / "images" / part

    def images_command(self, part: str) -> str:
        """Makes the image folder of a part."""
        commands = {**dict.fromkeys(PARTS, self.fetch_command), TEST: self.fetch_test_command}
        return commands.get(part, f"bcnet synthesize {part}")

    def image_hashes(self, part: str) -> Path:
        """The table of sizes and hashes of the images that the annotations of a part name."""
        return self.folder / f"images_{part}.tsv"

    def bilayer(self, part: str) -> Path:
        """The converted annotations of a part; `occlusion_table` lies beside them."""
        return self.folder / f"bilayer/{part}.json"

    def shard(self, converted: str, shard: str) -> Path:
        """A shard of the converted annotations of a part, while there are shards only; `shard` is such as `2-of-4`."""
        return self.folder / f"shards/bilayer/{converted}/{shard}.json"

    def split(self, name: str) -> Path:
        """The annotations of a split of val; `occlusion_table` lies beside them."""
        return self.folder / f"splits/{name}.json"

    def split_command(self, name: str) -> str:
        """Makes a split."""
        return f"bcnet split --annotations {self.bilayer('val')} --rule {name} --out {self.split(name)}"

    def weights(self, variant: str) -> Path:
        """What a variant starts from: ImageNet weights, or its `init`."""
        return self.folder / f"weights/{variant}.safetensors"

    @staticmethod
    def weights_command(variant: str) -> str:
        """Makes the weights that a variant starts from."""
        return f"bcnet weights --name {variant}"

    def run(self, name: str, run: str) -> "RunFiles":
        """The files of one run of a method: of a seed, or of `IMPORTED` or `BROUGHT`."""
        return RunFiles(self, name, run)

    @property
    def submissions(self) -> Path:
        """The folder of zips for COCO's server."""
        return self.folder / "submissions"


@dataclass(frozen=True)
class RunFiles:
    """The files of one run of a method: a trained variant with its seed, an imported model, or brought predictions."""

    dataset: DatasetFiles
    name: str
    run: str

    @property
    def model(self) -> Path:
        """The model file; brought predictions have none."""
        return self.dataset.folder / f"models/{self.name}/{self.run}/model.safetensors"

    @property
    def model_command(self) -> str:
        """Makes the model file, and for a variant what lies beside it."""
        if self.run == IMPORTED:
            return f"bcnet import-weights --name {self.name}"
        return f"bcnet train {self.name} --seed {self.run}"

    @property
    def training_log(self) -> Path:
        """The losses of a training."""
        return self.model.with_name("training.jsonl")

    @property
    def validation(self) -> Path:
        """The folder of what a training validated: its curve, and its best model where there is one."""
        return self.model.with_name("validation")

    @property
    def validation_curve(self) -> Path:
        """AP on images of val during the training; only the head of a table where it did not validate."""
        return self.validation / "curve.csv"

    @property
    def best_model(self) -> Path:
        """The model of the iteration with the highest AP of that curve; `model` is that of the last one."""
        return self.validation / "best.safetensors"

    def predictions(self, split: str = "val") -> Path:
        """The predictions on val, test or test-dev; `provenance` lies beside them, and `speed` beside ours."""
        return self.dataset.folder / f"predictions/{self.name}/{self.run}/{split}.json"

    def predictions_command(self, split: str = "val") -> str:
        """Makes the predictions and what lies beside them."""
        if self.run == BROUGHT:
            return f"{self.dataset.fetch_command} --predictions {self.name}"
        seed = "" if self.run == IMPORTED else f" --seed {self.run}"
        return f"bcnet predict {self.name}{seed} --split {split}"

    def shard(self, shard: str) -> Path:
        """A mark that a shard of the predictions on val is stored with the unfinished work."""
        return self.dataset.folder / f"shards/predictions/{self.name}/{self.run}/{shard}.done"

    def evaluate_command(self, split: str, metrics: Path) -> str:
        """Makes metrics on a split, and the tables of objects and detections beside them."""
        annotations, predictions = self.dataset.split(split), self.predictions()
        return f"bcnet evaluate --annotations {annotations} --predictions {predictions} --out {metrics}"


@dataclass(frozen=True)
class ReportFiles:
    """The files of a dataset's results below their folder, `reports/DATASET`."""

    folder: Path
    COMPARE_COMMAND = "bcnet compare"  # makes all tables
    REPORT_COMMAND = "bcnet report"  # makes page and figures

    @property
    def all_metrics(self) -> Path:
        """The folder of the metrics of all methods."""
        return self.folder / "metrics"

    def metrics(self, name: str, run: str, split: str) -> Path:
        """The metrics of one run of a method; `object_table`, `detection_table` and `draw_table` lie beside them."""
        return self.all_metrics / name / run / f"{split}.json"

    def table(self, name: str) -> Path:
        """One of the tables that `compare` writes."""
        return self.tables / f"{name}.csv"

    def evaluated(self, run: RunFiles, split: str) -> tuple[Path, Path, Path, Path]:
        """The metrics of a run, and the three tables beside them."""
        metrics = self.metrics(run.name, run.run, split)
        return metrics, object_table(metrics), detection_table(metrics), draw_table(metrics)

    @property
    def tables(self) -> Path:
        """The folder of the tables."""
        return self.folder / "tables"

    @property
    def all_tables(self) -> Path:
        """All tables in one, a row a number."""
        return self.tables / "tables.parquet"

    @property
    def scores(self) -> Path:
        """The folder of main numbers for `dvc metrics`: a file for each method and split."""
        return self.tables / "metrics"

    @property
    def page(self) -> Path:
        """The report."""
        return self.folder / "index.html"

    @property
    def figures(self) -> Path:
        """The folder of the report's charts."""
        return self.folder / "figures"


def occlusion_table(annotations: Path) -> Path:
    """The table beside converted annotations or a split."""
    return annotations.with_suffix(".parquet")


def provenance(predictions: Path) -> Path:
    """What determined predictions, beside them."""
    return predictions.with_suffix(".provenance.json")


def speed(predictions: Path) -> Path:
    """How long predicting took, beside the predictions."""
    return predictions.with_suffix(".speed.json")


def object_table(metrics: Path) -> Path:
    """The table of ground-truth objects beside metrics."""
    return metrics.with_suffix(".parquet")


def detection_table(metrics: Path) -> Path:
    """The table of detections beside metrics."""
    return metrics.with_suffix(".detections.parquet")


def draw_table(metrics: Path) -> Path:
    """The table of the bootstrap's draws beside metrics."""
    return metrics.with_suffix(".draws.parquet")
