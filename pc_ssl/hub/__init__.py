"""Pretrained networks as folders that others can load: safetensors, config.json and a model card."""

from pc_ssl.hub.card import Origin, model_card
from pc_ssl.hub.folder import ModelConfig, load, push_to_hub, save_pretrained, weights_file
from pc_ssl.hub.inference import point_features

__all__ = [
    "ModelConfig",
    "Origin",
    "load",
    "model_card",
    "point_features",
    "push_to_hub",
    "save_pretrained",
    "weights_file",
]
