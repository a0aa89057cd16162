"""How a verb ends: with a line on what it wrote, with the name that was probably meant, or when nobody reads on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation_factory import made
from places import ROOT

from bcnet.__main__ import run
from bcnet.cli import VERBS, main
from bcnet.files import write_json
from bcnet.layout import REPORTS
from bcnet.suggest import did_you_mean


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    truth, _ = made(0)
    for annotation in truth["annotations"]:
        del annotation["occlusion"]
    write_json(tmp_path / "truth.json", truth)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "meant"),
    [("evalute", "evaluate"), ("Convert", "convert"), ("import_weights", "import-weights"), ("xyz", None), ("", None)],
)
def test_the_most_similar_name_is_meant(name: str, meant: str | None) -> None:
    assert did_you_mean(name, VERBS) == (f", did you mean {meant!r}?" if meant else "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evalute", "bcnet: 'evalute' is no verb, did you mean 'evaluate'? There are: fetch, check, "),
        ("xyz", "bcnet: 'xyz' is no verb, there are: fetch, check, "),
        ("check --imags a b", "bcnet check: unrecognized: --imags, did you mean '--images'?"),
        ("check a.json --imags=a", "bcnet check: unrecognized: --imags, did you mean '--images'?"),
        (
            "evaluate --anotations a --out o.json",
            "bcnet evaluate: unrecognized: --anotations, did you mean '--annotations'?",
        ),
        ("evaluate --annot a --out o.json", "the following arguments are required: --predictions"),
        ("check a.json b", "bcnet check: unrecognized: b (`bcnet check --help` shows what it takes)\n"),
    ],
)
def test_a_verb_or_flag_that_does_not_exist(line: str, said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert said in written
    assert written.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            "short_side: [160]",
            "shortside: [160]",
            "params",
            "key, did you mean 'short_side'? Legal here: iterations, ",
        ),
        (
            "method: bcnet",
            "method: bnet",
            "params",
            "'bnet', did you mean 'bcnet'? Expected one of: mask_rcnn, ",
        ),
        ("", "", "train bcnt", "no 'bcnt', did you mean 'bcnet'? There are: mask-rcnn, bcnet\n"),
        ("", "", "fetch demos", "no 'demos', did you mean 'demo'? There are: demo\n"),
    ],
)
def test_a_name_that_is_not_in_params(
    old: str, new: str, line: str, said: str, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    text = (ROOT / "presets/demo.yaml").read_text("utf-8")
    (folder / "params.yaml").write_text(text.replace(old, new, 1), "utf-8")
    assert main(line.split()) == 2
    assert said in capsys.readouterr().err


def test_verbs_say_what_they_wrote(folder: Path, capsys: pytest.CaptureFixture) -> None:
    occluded = "wrote bilayer.json: 56 annotations of 8 images, "
    for line, said in (
        ("convert --annotations truth.json --out bilayer.json --jobs 1", occluded),
        ("split --annotations bilayer.json --rule all --out all.json", "wrote all.json: 8 of 8 images with 56 annot"),
        ("convert --annotations truth.json --out again.json --gather bilayer.json", "wrote again.json: 56 annotations"),
    ):
        assert main(line.split()) == 0
        written = capsys.readouterr()
        assert not written.out
        assert f"bcnet {line.split()[0]}: {said}" in written.err
        assert written.err.endswith(" s)\n")


def test_a_report_says_where_it_will_be(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert str(REPORTS / "D/index.html") in capsys.readouterr().out


@pytest.mark.parametrize("line", ["completion bash", "split --explain --annotations bilayer.json"])
def test_who_reads_no_more_makes_no_error(line: str, folder: Path) -> None:
    """The pipe is closed before the program writes."""
    assert main(["convert", "--annotations", "truth.json", "--out", "bilayer.json", "--jobs", "1"]) == 0
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bcnet", *line.split()]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_verbs_flags_and_paths(shell: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in VERBS)
    assert "min-box-iou" in script
    if shell == "bash":
        assert "_shtab_bcnet_evaluate___annotations_COMPGEN=_shtab_compgen_files" in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_an_interrupt_at_the_start_ends_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bcnet.cli.main", interrupted)
    assert run() == 130
    assert capsys.readouterr().err == "bcnet: interrupted\n"


STAGE = """import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in a shell's background begin with it ignored
try:
    print("begins", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.3)
    print("stage: interrupted")
"""


def test_the_log_of_a_stage_has_its_last_line_after_an_interrupt(tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to all processes of the pipeline at once, to the one that writes the log as well."""
    logged = re.search(r'^LOGGED = "(.*)"$', (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE)
    log = tmp_path / "log"
    stage = tmp_path / "stage.py"
    stage.write_text(STAGE)
    shell = f"( {sys.executable} {stage} ) {logged[1].format(log=log)}"
    running = subprocess.Popen(["bash", "-c", shell], stdout=subprocess.PIPE, start_new_session=True)
    assert running.stdout.readline() == b"begins\n"
    os.killpg(running.pid, signal.SIGINT)
    running.communicate()
    assert log.read_text() == "begins\nstage: interrupted\n"
