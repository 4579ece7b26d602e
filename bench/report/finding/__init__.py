"""A finding: the questions that a folder of results answers, with pages, a picture and an audit out of its records.

The scripts in `results/` have their questions, templates and conditions; what they share is here.
"""
