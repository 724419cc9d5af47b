"""Tests of lora_widgets/launch.py that train nothing."""

import pytest

from lora_widgets import train
from lora_widgets.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "said"), [(None, "settle the errors that the panel shows"), ({"seed": 1}, "is a dict")]
)
def test_what_is_no_configuration_is_explained(config, said):
    with pytest.raises(ConfigError, match=said):
        train(config)
