"""`medclf-predict --engine ray`: many tables in, a folder of Parquet out, by the machines of a Ray cluster.

options.py    what is asked for
storage.py    folders here and in object stores
inputs.py     the tables: which they are, and whether they are still the same
survey.py     where the partitions of a table begin
plan.py       the tables held against each other, and all partitions
worker.py     what one machine does: survey a table, classify a partition; never raises
ids.py        whether an id was seen before
commits.py    the output: parts, records, the manifest; what a stopped run goes on from
dispatch.py   who does what next, and what happens when a worker dies
pool.py       the workers, as Ray's actors; no other file loads ray
run.py        one run, in order
progress.py   how far it is, and what came of it
engine.py     `predict_ray`
"""
