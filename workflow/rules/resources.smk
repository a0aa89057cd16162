# Functions of rules. What jobs ask a cluster for follows the measurements in docs/cluster.md.
def mem_mb(input, times, least=1000):
    """The memory in MB that a job asks a cluster for, by the MB of its inputs."""
    return least + int(times * input.size_mb)


def processes(variant):
    """How many processes train a variant together, a GPU each."""
    return (config["schedule"] | config["variants"][variant].get("schedule", {})).get("processes", 1)


def convert_command(wildcards, input, output):
    """Converts a file, or puts together its converted shards."""
    gather = f" --gather {input.shards}" if SHARDS else ""
    return f"bcnet convert --annotations {input[0]} --out {output[0]}{gather}"
