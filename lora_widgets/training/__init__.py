"""The engine: from a configuration to a stream of events, with the model work inside.

`iter_training` is a generator, so the order of things is the order of the lines and a test is a list of its
events. It knows nothing of widgets, sinks or terminals: what touches the model is called inside, what only
looks gets an event. `Run` puts the generator on a thread. Randomness is a function of (seed, purpose,
position), so a resumed run repeats an uninterrupted one exactly and a sample in between disturbs nothing.
"""
