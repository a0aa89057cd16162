rule evaluate:
    input:
        f"{DATA}/splits/{{split}}.json",
        f"{DATA}/predictions/{{variant}}/{{seed}}/val.json",
        f"{DATA}/predictions/{{variant}}/{{seed}}/val.provenance.json",
    output:
        f"{REPORTS}/metrics/{{variant}}/{{seed}}/{{split}}.json",
        f"{REPORTS}/metrics/{{variant}}/{{seed}}/{{split}}.parquet",
        f"{REPORTS}/metrics/{{variant}}/{{seed}}/{{split}}.detections.parquet",
    log:
        f"{LOGS}/evaluate/{{variant}}-{{seed}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{variant}}-{{seed}}-{{split}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=lambda wildcards, input, output: (
            f"bcnet evaluate --annotations {input[0]} --predictions {input[1]} --out {output[0]}"
        ),
        evaluate=config["evaluate"],
    message:
        "Evaluating {wildcards.variant}, seed {wildcards.seed}, on {wildcards.split}"
    shell:
        SHELL


use rule evaluate as evaluate_imported with:
    input:
        f"{DATA}/splits/{{split}}.json",
        f"{DATA}/predictions/{{imported}}/imported/val.json",
        f"{DATA}/predictions/{{imported}}/imported/val.provenance.json",
    output:
        f"{REPORTS}/metrics/{{imported}}/imported/{{split}}.json",
        f"{REPORTS}/metrics/{{imported}}/imported/{{split}}.parquet",
        f"{REPORTS}/metrics/{{imported}}/imported/{{split}}.detections.parquet",
    log:
        f"{LOGS}/evaluate_imported/{{imported}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_imported/{{imported}}-{{split}}.tsv"
    message:
        "Evaluating the model {wildcards.imported} on {wildcards.split}"


use rule evaluate as evaluate_brought with:
    input:
        f"{DATA}/splits/{{split}}.json",
        f"{DATA}/predictions/{{brought}}/brought/val.json",
        f"{DATA}/predictions/{{brought}}/brought/val.provenance.json",
    output:
        f"{REPORTS}/metrics/{{brought}}/brought/{{split}}.json",
        f"{REPORTS}/metrics/{{brought}}/brought/{{split}}.parquet",
        f"{REPORTS}/metrics/{{brought}}/brought/{{split}}.detections.parquet",
    log:
        f"{LOGS}/evaluate_brought/{{brought}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_brought/{{brought}}-{{split}}.tsv"
    message:
        "Evaluating the predictions {wildcards.brought} on {wildcards.split}"


METRICS = expand(
    f"{REPORTS}/metrics/{{name}}/{{split}}.{{ending}}",
    name=PREDICTIONS,
    split=config["splits"],
    ending=["json", "parquet", "detections.parquet"],
)


rule compare:
    input:
        METRICS,
        "reference/results.yaml",
    output:
        report(
            f"{REPORTS}/tables/comparison.csv",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "COCO's numbers"},
        ),
        report(
            f"{REPORTS}/tables/benchmark.csv",
            caption="../report/benchmark.rst",
            category="Tables",
            labels={"table": "occlusion benchmark"},
        ),
        report(
            f"{REPORTS}/tables/recall.csv",
            caption="../report/recall.rst",
            category="Tables",
            labels={"table": "recall and AP by occlusion"},
        ),
        report(
            f"{REPORTS}/tables/categories.csv",
            caption="../report/categories.rst",
            category="Tables",
            labels={"table": "AP of each category"},
        ),
        report(
            f"{REPORTS}/tables/differences.csv",
            caption="../report/differences.rst",
            category="Tables",
            labels={"table": "differences with intervals"},
        ),
        report(
            f"{REPORTS}/tables/ablations.csv",
            caption="../report/ablations.rst",
            category="Tables",
            labels={"table": "ablations"},
        ),
        report(
            f"{REPORTS}/tables/published.csv",
            caption="../report/published.rst",
            category="Tables",
            labels={"table": "published numbers beside ours"},
        ),
        directory(f"{REPORTS}/tables/metrics"),
        f"{REPORTS}/tables/tables.parquet",
    log:
        f"{LOGS}/compare.log",
    benchmark:
        f"{BENCHMARKS}/compare.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd="bcnet compare",
        splits=config["splits"],
        seeds=config["seeds"],
        variants=config["variants"],
        imported=config["imported"],
        predictions=config["predictions"],
        evaluate=config["evaluate"],
        tables=config["tables"],
    message:
        "Writing the tables"
    shell:
        SHELL


rule report:
    input:
        METRICS,
        rules.compare.output,
        expand(f"{DATA}/models/{{model}}/{{file}}", model=MODELS, file=["model.safetensors", "training.jsonl"]),
        expand(f"{DATA}/models/{{model}}/model.safetensors", model=IMPORTED),
        expand(f"{DATA}/predictions/{{name}}/val{{ending}}", name=PREDICTIONS, ending=[".json", ".provenance.json"]),
        expand(f"{DATA}/predictions/{{name}}/val.speed.json", name=MODELS + IMPORTED),
        expand(f"{DATA}/splits/{{split}}.{{ending}}", split=config["splits"], ending=["json", "parquet"]),
    output:
        report(
            f"{REPORTS}/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"page": "everything of the run"},
        ),
        report(
            directory(f"{REPORTS}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd="bcnet report",
        datasets=config["datasets"][DATASET],
        synthetic=config["synthetic"],
        splits=config["splits"],
        train_on=config["train_on"],
        schedule=config["schedule"],
        seeds=config["seeds"],
        variants=config["variants"],
        imported=config["imported"],
        predictions=config["predictions"],
        evaluate=config["evaluate"],
        tables=config["tables"],
    message:
        "Writing the report"
    shell:
        SHELL
