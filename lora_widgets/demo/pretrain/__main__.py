"""The command that makes the demo model."""

# diffusers and transformers annotate their own classes too narrowly (a tuple of one for block sizes).
# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false

import argparse
import os
import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from lora_widgets.demo.pretrain.autoencoder import train_autoencoder
from lora_widgets.demo.pretrain.denoiser import SCHEDULER, latents_of, train_denoiser
from lora_widgets.demo.pretrain.plan import Plan
from lora_widgets.demo.pretrain.tokenizer import write_tokenizer


def main() -> None:
    """Run all stages; what is done already is not done again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for the finished model, in diffusers layout")
    parser.add_argument("--work", type=Path, default=Path("pretrain-work"), help="folder for unfinished work")
    parser.add_argument("--threads", type=int, default=2, help="processor threads to use")
    parser.add_argument("--nice", type=int, default=19, help="how far to step back for other work, 0 to 19")
    options = parser.parse_args()
    os.nice(options.nice)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    plan = Plan()
    write_tokenizer(options.work / "tokenizer", seed=plan.seed)
    tokenizer = CLIPTokenizer.from_pretrained(options.work / "tokenizer")
    vae = train_autoencoder(options.work, plan)
    unet, text_encoder = train_denoiser(options.work, latents_of(options.work, vae, plan), tokenizer, plan)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(**SCHEDULER, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(options.out, safe_serialization=True)
    # Every transformers reads this form; tokenizer.json, which version 5 writes, only the newer ones.
    shutil.rmtree(options.out / "tokenizer")
    shutil.copytree(options.work / "tokenizer", options.out / "tokenizer")


if __name__ == "__main__":
    main()
