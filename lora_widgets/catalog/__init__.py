"""Facts about choices: one row per optimizer, schedule, adapter type, model family, sampler and format.

The tables are plain data that anybody may read without loading torch: the dropdowns, the error messages and
the documentation all come from the same rows. Classes are named by import path and resolved where they are
used. This package imports nothing of ours.
"""
