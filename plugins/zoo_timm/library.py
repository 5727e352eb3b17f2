"""The one place that imports timm: zoo's backbone first, which readies torch for torchvision."""

from __future__ import annotations

from zoo import Backbone as Backbone

# isort: split
import timm as timm
