"""A study: its rows, what each job is made from, the keys of its files, and what they cost.

In: the configuration. Out: plain values for rules and jobs. Knows no Snakemake and imports nothing
that Snakemake itself does without.
"""
