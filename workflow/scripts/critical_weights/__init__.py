"""Critical Weight Analysis: which single weights of a language model matter most, and how sure that is.

The library knows nothing of Snakemake: every stage of the workflow is one call of a function in
here, and a notebook can make the same calls.
"""

__version__ = "0.1.0"
