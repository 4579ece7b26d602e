"""LoRA and CoLA with equal numbers of trained parameters, three seeds each: `python examples/compare.py`.

It takes about five minutes on two cores; when run again, it only reads the records in `results`.
"""

from bench import load_records, run, to_frame

if __name__ == "__main__":  # needed, since the processes that generate the data import this script
    run(["lora", "cola"], ["ave"], seeds=[0, 1, 2], budget="cola")
    frame = to_frame(load_records("results"))
    print(frame.groupby(["task", "condition", "label"])["score"].agg(["mean", "std", "count"]))
