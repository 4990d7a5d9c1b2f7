"""`pc-ssl doctor`: what is installed, and whether ops, networks and methods compute the right numbers on a device.

Nothing here reads a file of a data set or needs more than PyTorch, numpy and, for the sparse networks, spconv.
"""

from pc_ssl.doctor.checks import Check, Outcome, Status
from pc_ssl.doctor.examination import Examination, examine

__all__ = ["Check", "Examination", "Outcome", "Status", "examine"]
