"""The regression check: a small subset is run again, and compared with a baseline of several seeds.

`baseline` holds what is kept of runs, `seen` what the readers give, `costs` what a training step costs, `compare` says
what is outside its margin, `table` shows it.
"""
