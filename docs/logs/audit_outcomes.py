"""Draws ../audit_outcomes.png from audit_outcomes.csv beside this file, and prints the rank correlations."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import permutation_test, spearmanr


def correlation(audit: np.ndarray, gain: np.ndarray) -> float:
    """Spearman's."""
    return spearmanr(audit, gain).statistic


here = Path(__file__).parent
table = pd.read_csv(here / "audit_outcomes.csv")
studies = table.groupby("study", sort=False)
figure = Figure(figsize=(4.2 * len(studies), 3.6), layout="constrained")
for index, (study, rows) in enumerate(studies):
    rows = rows.sort_values("audit_auroc")
    axes = figure.add_subplot(1, len(studies), index + 1)
    axes.errorbar(range(len(rows)), rows["gain"], yerr=rows["half_interval"], fmt="o", markersize=4, linewidth=0.8)
    names = [f"{row.negative}\n{row.audit_auroc:.3f}" for row in rows.itertuples()]
    axes.set_xticks(range(len(rows)), names, fontsize=6)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set(title=study, xlabel="negatives by the audit's AUROC", ylabel=f"{rows['outcome'].iloc[0]}, gain over plain")

    audit, gain = rows["audit_auroc"].to_numpy(), rows["gain"].to_numpy()
    rho = correlation(audit, gain)
    # Of other transforms: drawn with replacement from these.
    draw = np.random.default_rng(0)
    chosen = [draw.integers(len(rows), size=len(rows)) for _ in range(10_000)]
    drawn = [correlation(audit[each], gain[each]) for each in chosen if len(set(audit[each])) > 2]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    p = permutation_test((audit, gain), correlation, permutation_type="pairings", rng=0).pvalue
    print(f"{study}: {rho:+.2f} ({low:+.2f} to {high:+.2f}) over {len(rows)} transforms, p = {p:.2f}")
figure.savefig(here.parent / "audit_outcomes.png", dpi=110)
