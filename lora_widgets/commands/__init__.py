"""The commands of ``lora-widgets``, one file each: ``run(options, out)`` works and returns the exit code.

A command imports what it needs when it runs, so that ``lora-widgets --help`` never waits for torch. What
goes wrong for a reason the user can change is a ``LoraWidgetsError``; ``cli.py`` turns it into one message.
"""
