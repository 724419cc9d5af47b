"""The mathematics of diffusion: noise schedules, noise, targets and loss weights.

Knows tensors and numbers only, never a setting or a model, so that every function can be checked against the
equation its docstring names. Torch is the only import; all randomness comes from an explicit generator.
"""
