"""What jobs that run a model ask of a cluster, from the model's size; on one machine nobody counts it.

Before the model's facts are there, a dry run says `<TBD>`.
"""

# Bytes of a weight.
WIDTHS = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def model_size(facts):
    """Return the weights of a model as megabytes of its checkpoint, and as a number in millions."""
    with open(facts, encoding="utf-8") as file:  # one that is missing Snakemake takes for "to be determined"
        text = file.read()
    try:
        known = json.loads(text)
        return known["n_weights"] * WIDTHS.get(known["checkpoint_dtype"], 2) / 1e6, known["n_weights"] / 1e6
    except (ValueError, LookupError, TypeError) as error:
        stop(f"{facts} is damaged ({error}). Delete it: the next run makes it again.")


def asks_gpu(wildcards):
    """Return how many GPUs a job that runs a model asks for."""
    return 0 if is_small(wildcards.model) or config["scoring"]["device"] == "cpu" else 1


def asks_memory(wildcards, input, attempt):
    """Return the megabytes of host memory of a job that runs a model; more after an end for lack of memory.

    On a GPU the host holds little but, streamed, the inputs of blocks: half the checkpoint is enough. Without one, 16 bytes
    a weight: a placement of the gradient family that holds the whole model fits. Scoring plans with what it was given.
    """
    if is_small(wildcards.model):
        return 4000 * attempt
    megabytes, millions = model_size(input.facts)
    return round(8000 + (megabytes / 2 if asks_gpu(wildcards) else 16 * millions)) * attempt


def asks_memory_whole(wildcards, input, attempt):
    """Return the megabytes of host memory of a job that has a whole model in memory, be it on its way to the GPU."""
    if is_small(wildcards.model) or not asks_gpu(wildcards):
        return asks_memory(wildcards, input, attempt)
    dtype = configs.resolve(config, wildcards.phase, wildcards.model, "forward")["scoring"]["dtype"]
    megabytes, millions = model_size(input.facts)
    return round(8000 + 1.1 * max(megabytes, WIDTHS.get(dtype, 0) * millions)) * attempt


def asks_minutes(wildcards, input, attempt):
    """Return the time limit of a job that runs a model: scoring that reaches it goes on in the next try."""
    if is_small(wildcards.model):
        return 30 * attempt
    return min(1440, round(60 + model_size(input.facts)[1] / 50)) * attempt


def asks_disk(wildcards, input):
    """Return the megabytes of disk of a scoring job: dense stores, which stay below 4 GB, and parts of a killed run.

    Of curvature what a later run starts from counts most; the memory plan tells how much that is.
    """
    if is_small(wildcards.model):
        return 1000
    return round(30000 + model_size(input.facts)[0])


def asks_minutes_to_read(wildcards, attempt):
    """Return the time limit of a job that reads a checkpoint once, of which nothing is known yet: 800 GB at 120 MB/s."""
    return (30 if is_small(wildcards.model) else 120) * attempt
