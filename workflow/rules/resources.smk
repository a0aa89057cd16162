# What jobs ask a cluster for; docs/cluster.md says which measurements this follows.
def mem_mb(input, times, least=1000):
    """The memory in MB that a job asks a cluster for, by the MB of its inputs."""
    return least + int(times * input.size_mb)


def processes(variant):
    """How many processes train a variant together, a GPU each."""
    return (config["schedule"] | config["variants"][variant].get("schedule", {})).get("processes", 1)
