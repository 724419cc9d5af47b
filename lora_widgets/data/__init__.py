"""From picture files to batches: find, measure, bucket, caption, open, cache, prefetch.

Knows sections of settings, never a model family: latents come from an ``encode`` function it is given.
Everything random is a function of (seed, purpose, position), so that the batch at an index is the same after
a resume, with or without cached latents, and on any number of threads. Only ``dataset``, ``images``,
``latent_cache`` and ``tensor_store`` import torch: the panel and the dry run use the rest.
"""
