rule evaluate:
    input:
        DATA.split("{split}"),
        TRAINED_RUN.predictions(),
        layout.provenance(TRAINED_RUN.predictions()),
    output:
        *REPORTS.evaluated(TRAINED_RUN, "{split}"),
    log:
        f"{LOGS}/evaluate/{{variant}}-{{seed}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{variant}}-{{seed}}-{{split}}.tsv"
    group:
        "evaluate"
    conda:
        "../envs/bcnet.yaml"
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 3),
        runtime=60,
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
        DATA.split("{split}"),
        IMPORTED_RUN.predictions(),
        layout.provenance(IMPORTED_RUN.predictions()),
    output:
        *REPORTS.evaluated(IMPORTED_RUN, "{split}"),
    log:
        f"{LOGS}/evaluate_imported/{{imported}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_imported/{{imported}}-{{split}}.tsv"
    message:
        "Evaluating the model {wildcards.imported} on {wildcards.split}"


use rule evaluate as evaluate_brought with:
    input:
        DATA.split("{split}"),
        BROUGHT_RUN.predictions(),
        layout.provenance(BROUGHT_RUN.predictions()),
    output:
        *REPORTS.evaluated(BROUGHT_RUN, "{split}"),
    log:
        f"{LOGS}/evaluate_brought/{{brought}}-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_brought/{{brought}}-{{split}}.tsv"
    message:
        "Evaluating the predictions {wildcards.brought} on {wildcards.split}"


METRICS = [REPORTS.evaluated(run, split) for run in RUNS for split in config["splits"]]


rule compare:
    input:
        METRICS,
        "reference/results.yaml",
    output:
        report(
            REPORTS.table("comparison"),
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "COCO's numbers"},
        ),
        report(
            REPORTS.table("benchmark"),
            caption="../report/benchmark.rst",
            category="Tables",
            labels={"table": "occlusion benchmark"},
        ),
        report(
            REPORTS.table("recall"),
            caption="../report/recall.rst",
            category="Tables",
            labels={"table": "recall and AP by occlusion"},
        ),
        report(
            REPORTS.table("categories"),
            caption="../report/categories.rst",
            category="Tables",
            labels={"table": "AP of each category"},
        ),
        report(
            REPORTS.table("intervals"),
            caption="../report/intervals.rst",
            category="Tables",
            labels={"table": "numbers with intervals"},
        ),
        report(
            REPORTS.table("differences"),
            caption="../report/differences.rst",
            category="Tables",
            labels={"table": "differences with intervals"},
        ),
        report(
            REPORTS.table("ablations"),
            caption="../report/ablations.rst",
            category="Tables",
            labels={"table": "ablations"},
        ),
        report(
            REPORTS.table("published"),
            caption="../report/published.rst",
            category="Tables",
            labels={"table": "published numbers beside ours"},
        ),
        directory(REPORTS.scores),
        REPORTS.all_tables,
    log:
        f"{LOGS}/compare.log",
    benchmark:
        f"{BENCHMARKS}/compare.tsv"
    conda:
        "../envs/bcnet.yaml"
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 2, 3000),
        runtime=120,
    params:
        cmd=REPORTS.COMPARE_COMMAND,
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
        [(run.model, run.training_log, run.validation) for run in TRAINED],
        [run.model for run in IMPORTED],
        [(run.predictions(), layout.provenance(run.predictions())) for run in RUNS],
        [layout.speed(run.predictions()) for run in TRAINED + IMPORTED],
        [(DATA.split(split), layout.occlusion_table(DATA.split(split))) for split in config["splits"]],
    output:
        report(
            REPORTS.page,
            caption="../report/page.rst",
            category="Report",
            labels={"page": "everything of the run"},
        ),
        report(
            directory(REPORTS.figures),
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
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 2, 3000),
        runtime=120,
    params:
        cmd=REPORTS.REPORT_COMMAND,
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
