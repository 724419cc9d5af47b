"""Listeners that keep what a run reports.

A sink is anything callable with one event. Sinks import only the events, so that any of them can be left out,
and none of them can change training.
"""
