"""Print every CSV of results/bench as one table per set of columns."""

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).resolve().parents[2] / "results/bench"
COLUMNS = ["benchmark", "case", "peer", "ours_s", "peer_s", "ratio", "goal", "holds"]


def write_rows(name, rows):
    """Write the rows of one benchmark to results/bench/NAME.csv."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).round(4).to_csv(RESULTS / f"{name}.csv", index=False)


if __name__ == "__main__":
    tables = {path.stem: pd.read_csv(path) for path in sorted(RESULTS.glob("*.csv"))}
    ratios = [table for table in tables.values() if list(table.columns[:8]) == COLUMNS]
    print(pd.concat(ratios, ignore_index=True).to_markdown(index=False))
    for table in tables.values():
        if list(table.columns[:8]) != COLUMNS:
            print("\n" + table.to_markdown(index=False))
