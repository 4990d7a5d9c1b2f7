"""Runs: pretraining, probing, fine-tuning, evaluation. Each is a separate module, so that a command imports only what
it runs: `pretrain.pretrain`, `downstream.probe`, `downstream.finetune`, `downstream.evaluate`, `train.train`.
"""

__all__ = ["batches", "downstream", "initial", "labels", "options", "pretrain", "train", "weights"]
