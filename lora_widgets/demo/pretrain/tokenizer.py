"""The demo model's tokenizer: CLIP's byte-pair format with a vocabulary learned from the captions."""

import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lora_widgets.demo.pictures import caption_of, held_out_wishes, random_scene

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 77
_CLIP_SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+"""


def write_tokenizer(folder: Path, *, seed: int) -> None:
    """Learn merges from 20,000 captions and write `vocab.json`, `merges.txt` and the configuration."""
    learned = _learn(_captions(seed))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[list[str]] = learned["model"]["merges"]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges), BOS, EOS]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_LENGTH,
        "do_lower_case": True,
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": EOS,
        "pad_token": EOS,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    special = dict.fromkeys(("eos_token", "unk_token", "pad_token"), EOS) | {"bos_token": BOS}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), encoding="utf-8")


def _captions(seed: int) -> list[str]:
    rng = random.Random(seed)
    seen = [caption_of(random_scene(rng), rng) for _ in range(20_000)]
    return seen + [wish.caption for wish in held_out_wishes(100, seed)]


def _learn(captions: list[str]) -> dict:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_CLIP_SPLIT), behavior="removed", invert=True)
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=2_000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    return json.loads(tokenizer.to_str())
