"""Count the backbones of all configs on the synthetic frame, and write pc_ssl/engine/catalogue_costs.py.

python benchmarks/config_costs.py [--all]

Backbones that are in the file already are counted again with --all only. Image networks of the hub are replaced by
untrained ones of the same layers, which cost the same.
"""

import sys
import tempfile
from pathlib import Path

from transformers import SwinConfig, SwinModel

from pc_ssl.engine.catalogue import cost_of_entry, entries
from pc_ssl.engine.catalogue_costs import COSTS

OUT = Path(__file__).parents[1] / "pc_ssl" / "engine" / "catalogue_costs.py"


def swin_tiny(folder: Path) -> Path:
    SwinModel(SwinConfig()).save_pretrained(folder)  # the defaults are Swin-T's
    return folder


def main() -> None:
    found = entries()
    costs = {} if "--all" in sys.argv[1:] else {entry.key: COSTS[entry.key] for entry in found if entry.key in COSTS}
    with tempfile.TemporaryDirectory() as folder:
        swin = swin_tiny(Path(folder) / "swin")
        for entry in found:
            if entry.key in costs:
                continue
            prefix = f"{entry.config.kind}.backbone."
            sources = [key for key in entry.config.flat() if key.startswith(prefix) and key.endswith(".source")]
            cost = cost_of_entry(entry, [f"{key}={swin}" for key in sources])
            costs[entry.key] = round(cost.operations / 1e9, 3)
            print(f"{entry.name:40} {cost}", flush=True)
    lines = [f'    "{key}": {value},' for key, value in sorted(costs.items())]
    head = OUT.read_text().partition("COSTS")[0]
    OUT.write_text(head + "COSTS: dict[str, float] = {\n" + "\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
