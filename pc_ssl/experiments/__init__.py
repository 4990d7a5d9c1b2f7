"""Experiments: plans of several runs over seeds, their records, and the tables made from these."""

from pc_ssl.experiments.comparison import Comparison, Spread
from pc_ssl.experiments.experiment import Experiment
from pc_ssl.experiments.plan import Evaluation, Kind, Method, Permuted, Plan, Pretraining, Role, Variant
from pc_ssl.experiments.plan_file import load_plan
from pc_ssl.experiments.plan_stage import PlanStage
from pc_ssl.experiments.records import Record, read_records
from pc_ssl.experiments.selection import Selection, Setting

__all__ = [
    "Comparison",
    "Evaluation",
    "Experiment",
    "Kind",
    "Method",
    "Permuted",
    "Plan",
    "PlanStage",
    "Pretraining",
    "Record",
    "Role",
    "Selection",
    "Setting",
    "Spread",
    "Variant",
    "load_plan",
    "read_records",
]
