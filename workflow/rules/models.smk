rule weights:
    output:
        f"{DATA}/weights/{{variant}}.safetensors",
    log:
        f"{LOGS}/weights/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/weights/{{variant}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=lambda wildcards, output: (
            f"bcnet weights {config['variants'][wildcards.variant]['backbone']} --out {output[0]}"
        ),
    message:
        "Getting ImageNet weights for {wildcards.variant}"
    shell:
        SHELL


rule import_weights:
    input:
        f"{DATA}/annotations/instances_val.json",  # its categories
    output:
        f"{DATA}/models/{{imported}}/imported/model.safetensors",
    log:
        f"{LOGS}/import_weights/{{imported}}.log",
    benchmark:
        f"{BENCHMARKS}/import_weights/{{imported}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd="bcnet import-weights --name {imported}",
        imported=lambda wildcards: config["imported"][wildcards.imported],
    message:
        "Importing the model {wildcards.imported}"
    shell:
        SHELL


rule train:
    input:
        f"{DATA}/bilayer/{config['train_on']}.json",
        f"{DATA}/images.tsv",
        f"{DATA}/weights/{{variant}}.safetensors",
    output:
        f"{DATA}/models/{{variant}}/{{seed}}/model.safetensors",
        f"{DATA}/models/{{variant}}/{{seed}}/training.jsonl",
    log:
        f"{LOGS}/train/{{variant}}-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{variant}}-{{seed}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        cmd="bcnet train {variant} --seed {seed}",
        train_on=config["train_on"],
        variants=lambda wildcards: config["variants"][wildcards.variant],
        schedule=config["schedule"],
        model=config["model"],
    message:
        "Training {wildcards.variant}, seed {wildcards.seed}"
    shell:
        SHELL


rule predict:
    input:
        f"{DATA}/models/{{variant}}/{{seed}}/model.safetensors",
        f"{DATA}/annotations/instances_val.json",
        f"{DATA}/images.tsv",
    output:
        f"{DATA}/predictions/{{variant}}/{{seed}}/val.json",
        f"{DATA}/predictions/{{variant}}/{{seed}}/val.provenance.json",
        f"{DATA}/predictions/{{variant}}/{{seed}}/val.speed.json",
    log:
        f"{LOGS}/predict/{{variant}}-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{{variant}}-{{seed}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        cmd="bcnet predict {variant} --seed {seed} --split val",
        variants=lambda wildcards: config["variants"][wildcards.variant],
        predict=config["predict"],
    message:
        "Predicting val with {wildcards.variant}, seed {wildcards.seed}"
    shell:
        SHELL


rule predict_imported:
    input:
        f"{DATA}/models/{{imported}}/imported/model.safetensors",
        f"{DATA}/annotations/instances_val.json",
        f"{DATA}/images.tsv",
    output:
        f"{DATA}/predictions/{{imported}}/imported/val.json",
        f"{DATA}/predictions/{{imported}}/imported/val.provenance.json",
        f"{DATA}/predictions/{{imported}}/imported/val.speed.json",
    log:
        f"{LOGS}/predict_imported/{{imported}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_imported/{{imported}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        cmd="bcnet predict {imported} --split val",
        imported=lambda wildcards: config["imported"][wildcards.imported],
    message:
        "Predicting val with {wildcards.imported}"
    shell:
        SHELL
