"""Rules about a dataset file and the folders beside it."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.NOTE, "dataset_config", "train_data_dir", "reg_data_dir")
def folders_beside_a_file(now: Situation) -> Advice | None:
    """A dataset file names its own folders."""
    config = now.config
    given = {"train_data_dir": config.train_data_dir.strip(), "reg_data_dir": config.reg_data_dir}
    unused = [f"`{name}` ({value})" for name, value in given.items() if value]
    if not config.dataset_config or not unused:
        return None
    verb = "is" if len(unused) == 1 else "are"
    return Advice(
        f"{' and '.join(unused)} {verb} not used: `dataset_config` names folders of its own.",
        "Name them in the file, where `is_reg = true` marks regularisation, or train without the file.",
        change(dataset_config=None),
    )
