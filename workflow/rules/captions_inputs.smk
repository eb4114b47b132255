"""What `snakemake --report` shows, and under which words: an output with its caption of ../report/captions/."""

RUN_LABEL = "{metric}_{mode}_k{k}"


def shown(path, subcategory, name=None, **labels):
    """Mark an output of one phase and model for Snakemake's own report.

    Its caption has the name of the file, or `name` where that begins with wildcards.
    """
    name = name or Path(path).stem
    return report(
        path,
        caption=f"../report/captions/{name}.rst",
        category="{phase}/{model}",
        subcategory=subcategory,
        labels={"result": name.replace("_", " "), **labels},
    )


def shown_tables(folder, names):
    """Mark tables of one phase and model, in a folder below theirs."""
    return [shown(f"results/{{phase}}/{{model}}/{folder}/{name}.csv", "tables") for name in names]


def shown_across(path, name, result=None):
    """Mark a table over all models and phases."""
    return report(
        path,
        caption=f"../report/captions/{name}.rst",
        category="all phases and models",
        labels={"result": result or name},
    )


def shown_figure(stem, subcategory, name=None, **labels):
    """Return a figure's files, its picture marked."""
    picture, *others = [f"{stem}.{ending}" for ending in result_paths.FORMATS]
    return [shown(picture, subcategory, name or Path(stem).name, **labels), *others]
