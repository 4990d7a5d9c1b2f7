"""Write the stored references of `pc-ssl doctor`: what its checks compute on the CPU of this machine.

Only for a change of networks, methods or of the checks themselves that is meant to change numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pc_ssl.doctor.examination import REFERENCES
from pc_ssl.doctor.training_checks import training_checks


def main() -> None:
    torch.set_num_threads(1)
    tensors: dict[str, Any] = {
        f"{check.key}/{name}": value.numpy()
        for check in training_checks()
        for name, value in check.run(torch.device("cpu")).items()
    }
    np.savez(REFERENCES, **tensors)
    print(f"{len(tensors)} tensors of {len(training_checks())} checks in {REFERENCES}")


if __name__ == "__main__":
    main()
