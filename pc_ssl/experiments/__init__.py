"""Experiments: plans of several runs over seeds, their records, and the tables made from these."""

from pc_ssl.experiments.comparison import Comparison, Spread
from pc_ssl.experiments.experiment import Experiment
from pc_ssl.experiments.plan import Evaluation, Kind, Method, Plan, Pretraining, Variant
from pc_ssl.experiments.plan_file import load_plan
from pc_ssl.experiments.records import Record, read_records

__all__ = [
    "Comparison",
    "Evaluation",
    "Experiment",
    "Kind",
    "Method",
    "Plan",
    "Pretraining",
    "Record",
    "Spread",
    "Variant",
    "load_plan",
    "read_records",
]
