"""The phases of a run, as users read them; what is estimated and what is measured meet by these names."""

LOADING = "Loading the base model"
CAPTIONS = "Encoding captions"
PICTURES = "Encoding pictures"
LOADING_DENOISER = "Loading the denoiser"
TRAINING = "Training"
"""The phase of the steps themselves, whose memory depends on the largest batch."""
SAMPLES = "Drawing samples"
