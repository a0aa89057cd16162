rule fetch:
    output:
        [DATA.annotations(part) for part in layout.PARTS],
        [DATA.image_hashes(part) for part in layout.PARTS],
    log:
        f"{LOGS}/fetch.log",
    benchmark:
        f"{BENCHMARKS}/fetch.tsv"
    conda:
        "../envs/bcnet.yaml"
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        cmd=DATA.fetch_command,
        datasets=config["datasets"][DATASET],
    message:
        f"Getting dataset {DATASET} ready"
    shell:
        SHELL


rule bring:
    input:
        lambda wildcards: config["predictions"][wildcards.brought]["file"],
        DATA.annotations("val"),
    output:
        BROUGHT_RUN.predictions(),
        layout.provenance(BROUGHT_RUN.predictions()),
    log:
        f"{LOGS}/bring/{{brought}}.log",
    benchmark:
        f"{BENCHMARKS}/bring/{{brought}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 3),
        runtime=60,
    params:
        cmd=BROUGHT_RUN.predictions_command(),
        predictions=lambda wildcards: config["predictions"][wildcards.brought],
    message:
        "Checking the predictions {wildcards.brought}"
    shell:
        SHELL


rule convert:
    input:
        DATA.annotations("{part}"),
        shards=[DATA.shard("{part}", shard) for shard in SHARDS],
        tables=[layout.occlusion_table(DATA.shard("{part}", shard)) for shard in SHARDS],
    output:
        DATA.bilayer("{part}"),
        layout.occlusion_table(DATA.bilayer("{part}")),
    log:
        f"{LOGS}/convert/{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/convert/{{part}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        mem_mb=lambda wildcards, input: mem_mb(input, 5),
        runtime=120,
    params:
        cmd=convert_command,
        convert=config["convert"],
    message:
        "Finding who occludes whom in {wildcards.part}"
    shell:
        SHELL_WITH_JOBS


rule synthesize:
    input:
        DATA.annotations("train"),
        DATA.image_hashes("train"),
    output:
        DATA.annotations("{synthetic}"),
        DATA.image_hashes("{synthetic}"),
    log:
        f"{LOGS}/synthesize/{{synthetic}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesize/{{synthetic}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    resources:
        mem_mb=lambda wildcards, input, threads: mem_mb(input, 5) + 500 * threads,
        runtime=720,
    params:
        cmd="bcnet synthesize {synthetic}",
        synthetic=lambda wildcards: config["synthetic"][wildcards.synthetic],
    message:
        "Pasting objects over others: {wildcards.synthetic}"
    shell:
        SHELL_WITH_JOBS


use rule convert as convert_synthetic with:
    input:
        DATA.annotations("{synthetic}"),
        shards=[DATA.shard("{synthetic}", shard) for shard in SHARDS],
        tables=[layout.occlusion_table(DATA.shard("{synthetic}", shard)) for shard in SHARDS],
    output:
        DATA.bilayer("{synthetic}"),
        layout.occlusion_table(DATA.bilayer("{synthetic}")),
    log:
        f"{LOGS}/convert_synthetic/{{synthetic}}.log",
    benchmark:
        f"{BENCHMARKS}/convert_synthetic/{{synthetic}}.tsv"
    message:
        "Finding who occludes whom in {wildcards.synthetic}"


rule split:
    input:
        DATA.bilayer("val"),
    output:
        DATA.split("{split}"),
        layout.occlusion_table(DATA.split("{split}")),
    log:
        f"{LOGS}/split/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/split/{{split}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=DATA.split_command("{split}"),
        splits=lambda wildcards: config["splits"][wildcards.split],
    message:
        "Choosing the images of split {wildcards.split}"
    shell:
        SHELL
