# Conversion and prediction in `shards` parts, for machines that work at once: docs/scale.md. With one there are no parts.
# The rules `convert…` and `predict…` put the parts together, to the bytes of the whole, which DVC makes at once.
rule convert_shard:
    input:
        DATA.annotations("{converted}"),
    output:
        temp(DATA.shard("{converted}", SHARD)),
        temp(layout.occlusion_table(DATA.shard("{converted}", SHARD))),
    log:
        f"{LOGS}/convert_shard/{{converted}}-{SHARD}.log",
    benchmark:
        f"{BENCHMARKS}/convert_shard/{{converted}}-{SHARD}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 3),
        runtime=120,
    params:
        cmd=lambda wildcards, input, output: (
            f"bcnet convert --annotations {input[0]} --out {output[0]} --shard {wildcards.k}/{N}"
        ),
        convert=config["convert"],
    message:
        f"Finding who occludes whom in {{wildcards.converted}}: {{wildcards.k}} of {N}"
    shell:
        SHELL_WITH_JOBS


use rule predict as predict_shard with:
    input:
        PREDICTED_FROM,
    output:
        temp(touch(TRAINED_RUN.shard(SHARD))),
    log:
        f"{LOGS}/predict_shard/{{variant}}-{{seed}}-{SHARD}.log",
    benchmark:
        f"{BENCHMARKS}/predict_shard/{{variant}}-{{seed}}-{SHARD}.tsv"
    params:
        cmd=f"{TRAINED_RUN.predictions_command()} --shard {{k}}/{N}",
        variants=lambda wildcards: config["variants"][wildcards.variant],
        predict=config["predict"],
    message:
        f"Predicting val with {{wildcards.variant}}, seed {{wildcards.seed}}: {{wildcards.k}} of {N}"


use rule predict_imported as predict_imported_shard with:
    input:
        PREDICTED_FROM_IMPORTED,
    output:
        temp(touch(IMPORTED_RUN.shard(SHARD))),
    log:
        f"{LOGS}/predict_imported_shard/{{imported}}-{SHARD}.log",
    benchmark:
        f"{BENCHMARKS}/predict_imported_shard/{{imported}}-{SHARD}.tsv"
    params:
        cmd=f"{IMPORTED_RUN.predictions_command()} --shard {{k}}/{N}",
        imported=lambda wildcards: config["imported"][wildcards.imported],
    message:
        f"Predicting val with {{wildcards.imported}}: {{wildcards.k}} of {N}"
