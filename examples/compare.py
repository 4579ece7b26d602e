"""LoRA and CoLA with equal numbers of trained parameters, three seeds each: `python examples/compare.py`.

Some five minutes on two cores; a second time it only reads the records in `results`.
"""

from bench import read_records, run, to_frame

if __name__ == "__main__":  # in a script: the processes that generate the data import it again
    run(["lora", "cola"], ["ave"], seeds=[0, 1, 2], budget="cola")
    frame = to_frame(read_records("results"))
    print(frame.groupby(["task", "condition", "label"])["score"].agg(["mean", "std", "count"]))
