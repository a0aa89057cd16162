rule fetch:
    output:
        f"{DATA}/annotations/instances_train.json",
        f"{DATA}/annotations/instances_val.json",
        f"{DATA}/images.tsv",
    log:
        f"{LOGS}/fetch.log",
    benchmark:
        f"{BENCHMARKS}/fetch.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=f"bcnet fetch {DATASET}",
        datasets=config["datasets"][DATASET],
    message:
        f"Getting dataset {DATASET} ready"
    shell:
        SHELL


rule bring:
    input:
        lambda wildcards: config["predictions"][wildcards.brought]["file"],
        f"{DATA}/annotations/instances_val.json",
    output:
        f"{DATA}/predictions/{{brought}}/brought/val.json",
        f"{DATA}/predictions/{{brought}}/brought/val.provenance.json",
    log:
        f"{LOGS}/bring/{{brought}}.log",
    benchmark:
        f"{BENCHMARKS}/bring/{{brought}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=f"bcnet fetch {DATASET} --predictions {{brought}}",
        predictions=lambda wildcards: config["predictions"][wildcards.brought],
    message:
        "Checking the predictions {wildcards.brought}"
    shell:
        SHELL


rule convert:
    input:
        f"{DATA}/annotations/instances_{{part}}.json",
    output:
        f"{DATA}/bilayer/{{part}}.json",
        f"{DATA}/bilayer/{{part}}.parquet",
    log:
        f"{LOGS}/convert/{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/convert/{{part}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    params:
        cmd=lambda wildcards, input, output: f"bcnet convert --annotations {input[0]} --out {output[0]}",
        convert=config["convert"],
    message:
        "Finding who occludes whom in {wildcards.part}"
    shell:
        SHELL


rule synthesize:
    input:
        f"{DATA}/annotations/instances_train.json",
        f"{DATA}/images.tsv",
    output:
        f"{DATA}/annotations/instances_{{synthetic}}.json",
    log:
        f"{LOGS}/synthesize/{{synthetic}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesize/{{synthetic}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    threads: workflow.cores
    params:
        cmd="bcnet synthesize {synthetic}",
        synthetic=lambda wildcards: config["synthetic"][wildcards.synthetic],
    message:
        "Pasting objects over others: {wildcards.synthetic}"
    shell:
        SHELL


use rule convert as convert_synthetic with:
    input:
        f"{DATA}/annotations/instances_{{synthetic}}.json",
    output:
        f"{DATA}/bilayer/{{synthetic}}.json",
        f"{DATA}/bilayer/{{synthetic}}.parquet",
    log:
        f"{LOGS}/convert_synthetic/{{synthetic}}.log",
    benchmark:
        f"{BENCHMARKS}/convert_synthetic/{{synthetic}}.tsv"
    message:
        "Finding who occludes whom in {wildcards.synthetic}"


rule split:
    input:
        f"{DATA}/bilayer/val.json",
    output:
        f"{DATA}/splits/{{split}}.json",
        f"{DATA}/splits/{{split}}.parquet",
    log:
        f"{LOGS}/split/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/split/{{split}}.tsv"
    conda:
        "../envs/bcnet.yaml"
    params:
        cmd=f"bcnet split --annotations {DATA}/bilayer/val.json --rule {{split}} --out {DATA}/splits/{{split}}.json",
        splits=lambda wildcards: config["splits"][wildcards.split],
    message:
        "Choosing the images of split {wildcards.split}"
    shell:
        SHELL
