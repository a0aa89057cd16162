rule weights:
    input:
        lambda wildcards: config["variants"][wildcards.variant].get("init", []),
    output:
        DATA.weights("{variant}"),
    log:
        f"{LOGS}/weights/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/weights/{{variant}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=DATA.weights_command("{variant}"),
        variants=lambda wildcards: config["variants"][wildcards.variant],
    message:
        "Getting the weights that {wildcards.variant} starts from"
    shell:
        SHELL


rule import_weights:
    input:
        DATA.annotations("val"),  # its categories
    output:
        IMPORTED_RUN.model,
    log:
        f"{LOGS}/import_weights/{{imported}}.log",
    benchmark:
        f"{BENCHMARKS}/import_weights/{{imported}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        cmd=IMPORTED_RUN.model_command,
        imported=lambda wildcards: config["imported"][wildcards.imported],
    message:
        "Importing the model {wildcards.imported}"
    shell:
        SHELL


rule train:
    input:
        DATA.bilayer(config["train_on"]),
        DATA.image_hashes(config["train_on"]),
        DATA.weights("{variant}"),
    output:
        TRAINED_RUN.model,
        TRAINED_RUN.training_log,
        directory(TRAINED_RUN.validation),
    log:
        f"{LOGS}/train/{{variant}}-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{variant}}-{{seed}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=lambda wildcards: processes(wildcards.variant),
        mem_mb=lambda wildcards, input: processes(wildcards.variant) * mem_mb(input, 3, 6000),
        runtime=1440,
    params:
        cmd=TRAINED_RUN.model_command,
        train_on=config["train_on"],
        variants=lambda wildcards: config["variants"][wildcards.variant],
        schedule=config["schedule"],
        model=config["model"],
    message:
        "Training {wildcards.variant}, seed {wildcards.seed}"
    shell:
        SHELL


PREDICTED_FROM = [TRAINED_RUN.model, TRAINED_RUN.validation, DATA.annotations("val"), DATA.image_hashes("val")]
PREDICTED_FROM_IMPORTED = [IMPORTED_RUN.model, DATA.annotations("val"), DATA.image_hashes("val")]


rule predict:
    input:
        PREDICTED_FROM,
        [TRAINED_RUN.shard(shard) for shard in SHARDS],
    output:
        TRAINED_RUN.predictions(),
        layout.provenance(TRAINED_RUN.predictions()),
        layout.speed(TRAINED_RUN.predictions()),
    log:
        f"{LOGS}/predict/{{variant}}-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{{variant}}-{{seed}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
        mem_mb=lambda wildcards, input: mem_mb(input, 3, 3000),
        runtime=1440,
    params:
        cmd=TRAINED_RUN.predictions_command(),
        variants=lambda wildcards: config["variants"][wildcards.variant],
        predict=config["predict"],
    message:
        "Predicting val with {wildcards.variant}, seed {wildcards.seed}"
    shell:
        SHELL


rule predict_imported:
    input:
        PREDICTED_FROM_IMPORTED,
        [IMPORTED_RUN.shard(shard) for shard in SHARDS],
    output:
        IMPORTED_RUN.predictions(),
        layout.provenance(IMPORTED_RUN.predictions()),
        layout.speed(IMPORTED_RUN.predictions()),
    log:
        f"{LOGS}/predict_imported/{{imported}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_imported/{{imported}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
        mem_mb=lambda wildcards, input: mem_mb(input, 3, 3000),
        runtime=1440,
    params:
        cmd=IMPORTED_RUN.predictions_command(),
        imported=lambda wildcards: config["imported"][wildcards.imported],
    message:
        "Predicting val with {wildcards.imported}"
    shell:
        SHELL
