"""Rules between settings: one small function each, grouped by subject.

A rule sees a valid configuration and the known facts, and returns advice or nothing. Its decorator names the
severity and the settings concerned; those names are checked against the schema when the rule is defined.
"""
