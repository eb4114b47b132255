"""What the rules of criteria.smk read and are told."""

from critical_weights.criteria.config import criteria_errors, criteria_of_level, read_criteria


from critical_weights.criteria.tables import INTERVENTIONS, table_file

if mistakes := criteria_errors(config):
    stop(*mistakes)


# By level: over all models and phases, or of one.
CRITERIA = {across: criteria_of_level(read_criteria(config), across=across) for across in (False, True)}


def made(table):
    """Whether some stage makes a table: interventions can be switched off."""
    return config["interventions"]["enabled"] or table not in INTERVENTIONS


def judged_tables(across):
    """Return an input function for the tables that the criteria of a level name and that some stage makes."""

    def files(wildcards):
        names = dict.fromkeys(one["table"] for one in CRITERIA[across])
        return [table_file(name, **dict(wildcards.items())) for name in names if made(name)]

    return files


def criteria_options(across):
    """Return a function for `params`: the criteria of a level, and where the tables lie."""

    def options(wildcards):
        files = judged_tables(across)(wildcards)
        tables = [f"{Path(file).stem}={file}" for file in files]
        return [f"--criteria={json.dumps(CRITERIA[across])}", "--tables", *tables]

    return options
