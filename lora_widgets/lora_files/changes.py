"""What the modules of a file change, with the base model at hand or without it."""

from dataclasses import dataclass

from torch import Tensor

from lora_widgets.adapters.weight_change import change_alone, depends_on_weight, type_of, weight_change
from lora_widgets.errors import ConfigError, ModelError, StateError
from lora_widgets.lora_files.base_model import BaseModel
from lora_widgets.lora_files.kernels import kernel_of
from lora_widgets.lora_files.lora_file import LoraFile, Tensors


@dataclass(frozen=True)
class Change:
    """What a module changes, in float32: its weight's ``weight`` (rows, inputs, ...), and its bias."""

    weight: Tensor
    bias: Tensor | None


def change_in(file: LoraFile, module: str, base: BaseModel | None) -> Change:
    """Return the change of a module of a file; ``base`` is needed by types that turn or scale its weights.

    Raises:
        ConfigError: there is no base model, but the type needs it.
        ModelError: the base model lacks the module, or has another size there.
        StateError: the tensors are of no type that is known, or do not go together.
    """
    tensors = file.modules[module]
    if base is not None and (module in base.modules or depends_on_weight(tensors)):
        return change_of(base, module, tensors)
    if depends_on_weight(tensors):
        raise ConfigError(
            f"{module} is of the type {type_of(tensors)}, whose change follows from the weights of the base "
            "model. Name the base model that the file was trained on, too."
        )
    try:
        weight, bias = change_alone(tensors)
        if weight.dim() == 2:
            kernel = kernel_of(file.component_of(module), file.path_of(module))
            weight = weight.reshape(len(weight), -1, *kernel)
    except (RuntimeError, ValueError, KeyError) as error:  # damaged files fail in many ways
        raise StateError(
            f"{module} has tensors that do not go together ({error}). Check the file with the tool check."
        ) from error
    return Change(weight, bias)


def change_of(base: BaseModel, module: str, tensors: Tensors) -> Change:
    """Return the change of a module of a base model.

    Raises:
        ModelError: the base model lacks the module, or has another size there.
    """
    if module not in base.modules or not base.modules[module].weight:
        raise ModelError(
            f"The base model lacks {module}, which the file changes. If it is in a text encoder, choose "
            "a file or a folder that holds those too."
        )
    try:
        return Change(*weight_change(tensors, base.stacked(base.modules[module].weight)))
    except (RuntimeError, ValueError) as error:  # tensors of other sizes fail in many ways
        size = " x ".join(map(str, base.size(module)))
        raise ModelError(
            f"{module} does not fit the base model, which has {size} numbers there ({error}). Choose the "
            "base model that the file was made for."
        ) from error


def refuse_other_family(base: BaseModel, file: LoraFile) -> None:
    """Make sure that a file is for the family of a base model.

    Raises:
        ConfigError: it is for another one.
        StateError: its family is not known.
    """
    if file.layout.family != base.family:
        raise ConfigError(
            f"The adapter is for {file.layout.family}, but the base model is {base.family}. Choose a "
            f"{file.layout.family} model."
        )
