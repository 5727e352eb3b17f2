"""No backbone, but a head and a strategy."""

import zoo


@zoo.hookimpl
def zoo_heads():
    return {"cosine": cosine}


@zoo.hookimpl
def zoo_strategies():
    return {"twice": twice}


def cosine(feature_dim, outputs):
    """Logits are scaled cosines between the features and a vector a class."""
    import torch
    from torch import nn

    class Cosine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(outputs, feature_dim) * 0.1)
            self.scale = nn.Parameter(torch.tensor(10.0))

        def forward(self, features):
            directions = nn.functional.normalize(features, dim=1)
            classes = nn.functional.normalize(self.weight, dim=1)
            return self.scale * directions @ classes.T

    return Cosine()


def twice(recipe, stages):
    """The head, then everything at a rate of its own, then everything at a tenth of it."""
    return [
        zoo.Phase(name="head", epochs=1, lr=recipe.probe_lr, trains_backbone=False),
        zoo.Phase(name="coarse", epochs=recipe.epochs, lr=recipe.lr),
        zoo.Phase(name="fine", epochs=recipe.epochs, lr=recipe.lr / 10),
    ]
