# Convert large annotations in parts that a cluster can share out: docs/scale.md.
#   snakemake -s workflow/shards.smk --cores all    (or --executor slurm; --config shards=16)
# docs/scale.md says how `snakemake` goes on from the result.
from pathlib import Path

from bcnet import layout
from bcnet.params import load
from bcnet.tools import unlock_snakemake

if workflow.is_main_process:  # as in Snakefile
    unlock_snakemake()
SHARDS = int(config.get("shards", 8))
DATA = layout.DatasetFiles(layout.DATA / load().dataset)
SHARD = str(DATA.folder / "shards/{k}.json")
WHOLE = DATA.bilayer("train")


rule gather:
    input:
        whole=DATA.annotations("train"),
        shards=expand(SHARD, k=range(1, SHARDS + 1)),
        tables=expand(str(layout.occlusion_table(Path(SHARD))), k=range(1, SHARDS + 1)),
    output:
        WHOLE,
        layout.occlusion_table(WHOLE),
    shell:
        "bcnet convert --annotations {input.whole} --gather {input.shards} --out {output[0]}"


rule shard:
    input:
        DATA.annotations("train"),
    output:
        temp(SHARD),
        temp(layout.occlusion_table(Path(SHARD))),
    threads: 2
    resources:
        mem_mb=lambda wildcards, input: 3 * input.size_mb + 500,
    params:
        n=SHARDS,
    shell:
        "bcnet convert --annotations {input} --shard {wildcards.k}/{params.n} --jobs {threads} --out {output[0]}"
