"""RadCliQ: how many errors a radiologist would find in a report, foretold from four measures. Lower is better.

Source: Yu et al. 2023, Evaluating progress in automatic chest X-ray
radiology report generation; numbers of rajpurkarlab/CXR-Report-Metric@9c9ecad
(CXRMetric/composite_metric_model.pkl, radcliq-v1.pkl).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """A linear model of standardised measures; in the order RadGraph F1, BERTScore, CheXbert similarity, BLEU-2."""

    mean: tuple[float, float, float, float]
    scale: tuple[float, float, float, float]
    coefficient: tuple[float, float, float, float]
    intercept: float

    def __call__(self, radgraph: float, bertscore: float, similarity: float, bleu_2: float) -> float:
        """Returns RadCliQ of one report."""
        values = (radgraph, bertscore, similarity, bleu_2)
        terms = zip(values, self.mean, self.scale, self.coefficient, strict=True)
        return self.intercept + sum((value - mean) / scale * weight for value, mean, scale, weight in terms)


V0 = Linear(
    mean=(0.5398376019, 0.6312549595, 0.7716797867, 0.4607372065),
    scale=(0.3018344441, 0.2246695075, 0.2475033381, 0.3033667094),
    coefficient=(-0.4796252645, -0.6762170542, -0.4636657516, 0.2165861905),
    intercept=1.6416666667,
)
V1 = Linear(
    mean=(0.5379231241, 0.6175725628, 0.7647942121, 0.4473833540),
    scale=(0.3028258411, 0.2243093846, 0.2539439110, 0.2989271672),
    coefficient=(-0.3770836826, -0.3703000997, -0.2526162179, 4.3e-12),
    intercept=2.5e-10,
)
