"""One file per model family: how its pictures and captions become tensors and what its denoiser predicts.

A family is a class that satisfies a protocol, not a subclass: a reader learns a family by opening one file,
and what families share are plain functions. Built on the model classes of diffusers and transformers. Knows
nothing of adapters, datasets or the training loop. Opening a family reads only its small configuration files,
so that a wrong path is found before gigabytes are loaded.
"""
