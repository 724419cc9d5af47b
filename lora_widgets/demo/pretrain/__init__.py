"""How the shipped demo model was made: `python -m lora_widgets.demo.pretrain OUT`.

Three stages, each resumable: an autoencoder learns to draw, its latents are computed once, and a denoiser
learns with a small text encoder to draw what a caption asks. Knows nothing of the training engine, so that
the engine can be tested on a model it did not make.
"""
