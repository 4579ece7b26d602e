"""The regression check: a small set of runs is repeated and compared with a baseline of several seeds.

`baseline` is the summary of runs that is compared, `reader_probe` the output of the tasks' readers, `costs` the cost of
training steps, and `integrity` and `sanity_run` need no baseline. `compare` finds values outside their margins, and
`table` formats them.
"""
