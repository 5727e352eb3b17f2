"""Returns something that is no spec."""

import zoo


@zoo.hookimpl
def zoo_backbones():
    return [{"name": "net", "feature_dim": 8}]
