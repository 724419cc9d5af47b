"""Rules about what only some adapter types can do, or cannot."""

from lora_widgets.catalog.lora_types import LORA_TYPES, PROGRAMS
from lora_widgets.config.adapter_size import factors
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.WARNING, "conv_dim", "lora_type")
def no_convolutions(now: Situation) -> Advice | None:
    """LoCon without convolutions is LoRA."""
    if now.config.lora_type != "LoCon" or now.config.conv_dim:
        return None
    return Advice(
        "`conv_dim` is 0, so LoCon leaves convolutions out, which are what it is for.",
        "Set `conv_dim`, or choose LoRA.",
        change(conv_dim=16),
        (change(lora_type="LoRA"),),
    )


@rule(Severity.ERROR, "network_dim", "conv_dim", "block_size", "lora_type")
def dylora_blocks(now: Situation) -> Advice | None:
    """DyLoRA trains whole blocks of ranks."""
    config = now.config
    if config.lora_type != "DyLoRA":
        return None
    names = ["network_dim", *(["conv_dim"] if now.has_convolutions else [])]
    wrong = [name for name in names if getattr(config, name) % config.block_size]
    if not wrong:
        return None
    return Advice(
        f"`{wrong[0]}` is {getattr(config, wrong[0])}, which DyLoRA cannot divide into blocks of "
        f"`block_size` {config.block_size}.",
        "Choose multiples of `block_size`.",
        change(**{name: _next_multiple(getattr(config, name), config.block_size) for name in wrong}),
        (change(block_size=1),),
    )


@rule(Severity.ERROR, "network_dim", "lora_type")
def boft_too_small(now: Situation) -> Advice | None:
    """Butterflies need blocks that divide all layers of the model."""
    config, least = now.config, 10 if now.has_convolutions else 18
    if config.lora_type != "BOFT" or config.network_dim >= least:
        return None
    return Advice(
        f"`network_dim` is {config.network_dim}, with which BOFT cannot divide all layers of "
        f"{config.model_type} into blocks.",
        f"Set it to at least {least}.",
        change(network_dim=least),
    )


@rule(Severity.ERROR, "conv_dim", "lora_type")
def boft_convolutions_too_small(now: Situation) -> Advice | None:
    """Butterflies need blocks that divide the convolutions, too."""
    config = now.config
    if config.lora_type != "BOFT" or not now.has_convolutions or not 0 < config.conv_dim < 10:
        return None
    return Advice(
        f"`conv_dim` is {config.conv_dim}, with which BOFT cannot divide the convolutions of "
        f"{config.model_type} into blocks.",
        "Set it to at least 10, or to 0 to leave them out.",
        change(conv_dim=10),
        (change(conv_dim=0),),
    )


@rule(Severity.NOTE, "network_dim", "lora_type")
def size_of_rotations(now: Situation) -> Advice | None:
    """For Diag-OFT the dimension is no strength."""
    config = now.config
    if config.lora_type != "Diag-OFT" or "network_dim" not in config.model_fields_set:
        return None
    return Advice(
        f"`network_dim` is {config.network_dim}: with Diag-OFT this is the size of the blocks that turn, as "
        f"far as it divides a layer. A layer of 320 outputs gets {factors(320, config.network_dim)[0]}.",
        "Larger is not always stronger; 4 to 16 is usual.",
    )


@rule(Severity.ERROR, "factor")
def factor_of_zero(now: Situation) -> Advice | None:
    """No matrix has no rows."""
    if now.config.factor != 0 or not now.type_reads("factor"):
        return None
    return Advice(
        "`factor` is 0, with which LoKR's small matrix would be a single number.",
        "Use -1 for an even split, or 4 to 16.",
        change(factor=-1),
    )


@rule(Severity.WARNING, "factor")
def factor_of_one(now: Situation) -> Advice | None:
    """A Kronecker product with a number saves nothing."""
    if now.config.factor != 1 or not now.type_reads("factor"):
        return None
    return Advice(
        "`factor` is 1, with which LoKR's small matrix is a single number and the other is as large as "
        "the layer.",
        "Use -1 for an even split, or 4 to 16.",
        change(factor=-1),
    )


@rule(Severity.WARNING, "network_dim", "lora_type")
def high_rank_of_loha(now: Situation) -> Advice | None:
    """LoHa's rank is squared."""
    if now.config.lora_type != "LoHa" or now.config.network_dim <= 32:
        return None
    rank = now.config.network_dim
    return Advice(
        f"`network_dim` is {rank}: LoHa multiplies two matrices of that rank, which is a rank of {rank**2}.",
        "4 to 32 is enough.",
        change(network_dim=16),
    )


@rule(Severity.ERROR, "train_norm", "model_type")
def norms_without_weights(now: Situation) -> Advice | None:
    """The norms of Flux and SD3 have nothing to learn."""
    if not now.config.train_norm or now.has_convolutions or not now.type_reads("train_norm"):
        return None
    return Advice(
        f"`train_norm` is on, but the normalisation layers of {now.config.model_type} have no weights.",
        "Turn it off.",
        change(train_norm=False),
    )


@rule(Severity.NOTE, "train_norm")
def norms_in_files(now: Situation) -> Advice | None:
    """Few programs read norms."""
    if not now.config.train_norm or not now.has_convolutions or not now.type_reads("train_norm"):
        return None
    return Advice(
        "`train_norm` is on: the file will hold normalisation layers, with which diffusers refuses it.",
        "ComfyUI and A1111 load it.",
        change(train_norm=False),
    )


@rule(Severity.NOTE, "lora_type")
def files_of_few_programs(now: Situation) -> Advice | None:
    """Not every program reads every type."""
    kind, read_by = now.config.lora_type, LORA_TYPES[now.config.lora_type].read_by
    if read_by == PROGRAMS:
        return None
    readers = [name for name in read_by if name == "ComfyUI" or (name == "A1111" and now.has_convolutions)]
    programs = f"{' and '.join(readers) or 'only this program'} load{'s' if len(readers) < 2 else ''} it"
    if readers and "ComfyUI" not in readers:
        programs += ", ComfyUI does not"
    diffusers = "diffusers refuses it"
    if kind == "DoRA":
        diffusers = "diffusers shows it wrongly"
        if now.config.dialect == "diffusers":
            programs, diffusers = "diffusers loads it", "ComfyUI shows it wrongly by these names"
    return Advice(
        f"`lora_type` is {kind}: {programs}; {diffusers}.",
        'LoRA loads everywhere; "lora-widgets file resize" makes one of the file.',
    )


@rule(Severity.WARNING, "lora_type")
def large_files(now: Situation) -> Advice | None:
    """Full weights are large."""
    if now.config.lora_type != "Native Fine-Tuning":
        return None
    return Advice(
        "`lora_type` is Native Fine-Tuning: it trains the full weights of the layers, takes memory for "
        "several copies of them, and saves a file about as large as the model.",
        "LoKR with `full_matrix` comes close with a much smaller file.",
        change(lora_type="LoKR", full_matrix=True),
    )


@rule(Severity.WARNING, "rs_lora", "network_alpha", "network_dim")
def strength_of_stabilised_ranks(now: Situation) -> Advice | None:
    """With the root of the rank, the usual alpha is strong."""
    config = now.config
    strength = config.alpha / config.network_dim**0.5
    if not config.rs_lora or strength <= 1 or not now.type_reads("rs_lora"):
        return None
    return Advice(
        f"`rs_lora` is on, which scales by `network_alpha` / sqrt(`network_dim`) = {strength:.3g}, "
        f"{config.network_dim**0.5:.3g} times as much as without.",
        "Lower `network_alpha`, or the learning rates.",
        change(network_alpha=round(config.network_dim**0.5 / 2, 2)),
    )


def _next_multiple(value: int, of: int) -> int:
    return max(1, -(-value // of)) * of
