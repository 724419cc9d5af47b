"""Settings of sd-scripts that have another name here, or none, are answered with what to do."""

import re

import pytest

from lora_widgets.catalog.other_names import INSTEAD
from lora_widgets.config.files import values_from_strings
from lora_widgets.config.findings import check
from lora_widgets.config.training_config import ALIASES, TrainingConfig
from lora_widgets.errors import ConfigError


@pytest.mark.parametrize("name", INSTEAD)
def test_a_name_of_sd_scripts_is_refused_with_what_to_do(name):
    errors = [str(error) for error in check({name: 1}).errors if name in error.settings]
    assert errors == [f"`{name}` is not a setting. {INSTEAD[name]}"]
    with pytest.raises(ConfigError, match=re.escape(INSTEAD[name])):
        values_from_strings({name: "1"})


def test_what_is_advised_exists_and_what_exists_is_not_refused():
    advised = {setting for sentence in INSTEAD.values() for setting in re.findall(r"`(\w+)`", sentence)}
    assert advised <= set(TrainingConfig.model_fields)
    assert not INSTEAD.keys() & {*TrainingConfig.model_fields, *ALIASES}
