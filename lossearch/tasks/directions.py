"""Whether higher or lower values of a metric are better, known by its name.

A name is read word by word: `val_mean_IoU`, `top5-accuracy` and `mAP@50` are understood, and what holds a word that is
not, or words of both directions such as `dice_loss`, is not guessed.
"""

from __future__ import annotations

import re
from typing import Literal

from lossearch.errors import UserError

Direction = Literal["maximize", "minimize"]


def _named(text: str) -> frozenset[str]:
    return frozenset(text.split())


HIGHER = _named(
    """
    accuracy acc precision recall sensitivity specificity tpr tnr npv ppv f1 f2 fbeta fscore jaccard iou miou giou
    dice dsc auc auroc roc rocauc auprc prauc gini ap map mrr ndcg hits kappa mcc corrcoef matthews pearson
    spearman kendall r2 psnr ssim msssim ms_ssim snr sisnr sdr si_sdr pesq stoi bleu rouge meteor cider chrf
    bertscore likelihood reward return pck oks hota mota idf1 pq rand ari nmi silhouette purity concordance cindex
    q2 correlation similarity coverage average_precision
    """
)
"""Words of metrics of which higher values are better."""

LOWER = _named(
    """
    loss error err mae mse rmse mape smape msle rmsle medae wape nrmse nmse nll perplexity ppl bpc bpd wer cer ter
    fid kid lpips brier ece mce hausdorff hd hd95 assd asd epe distance divergence kl eer far frr fpr fnr deviance
    regret crps aic bic negative_log_likelihood log_loss cross_entropy absolute_error squared_error
    """
)
"""Words of metrics of which lower values are better."""

_QUALIFIERS = _named(
    """
    val valid validation dev eval test worst mean avg average median macro micro weighted balanced top score rate k at
    per class pixel sample overall global final best last total absolute squared root relative percentage percent
    and ms si m coefficient index object box mask image instance point voxel
    """
)
"""Words that leave the direction as it is."""

_PHRASES = sorted((name for name in HIGHER | LOWER if "_" in name), key=len, reverse=True)


def known_direction(name: str) -> Direction | None:
    """The direction of a metric of this name; None where the name does not tell."""
    found: set[Direction] = set()
    words = _words(name)
    if words and words[0].isdigit():  # 1 - dice
        return None
    for word in words:
        if word in HIGHER:
            found.add("maximize")
        elif word in LOWER:
            found.add("minimize")
        elif word not in _QUALIFIERS and not word.isdigit():
            return None
    return found.pop() if len(found) == 1 else None


def _words(name: str) -> list[str]:
    """The words of a name in lower case, phrases of several words as one."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)  # PixelAccuracy, meanIoU
    joined = "_".join(re.findall(r"[a-z0-9]+", plain.lower()))
    for phrase in _PHRASES:
        joined = re.sub(rf"(?<![a-z0-9]){phrase}(?![a-z0-9])", phrase.replace("_", "~"), joined)
    words = (word.replace("~", "_") for word in joined.split("_") if word)
    return [part for word in words for part in _parts(word)]


def _parts(word: str) -> list[str]:
    """A word, without the number at its end, or the m for mean in front, where it is not known with them."""
    known = HIGHER | LOWER | _QUALIFIERS
    bare = word.rstrip("0123456789")
    for form in (word, bare, bare.removeprefix("m")):
        if form in known:
            return [form]
    return [word]


def direction_of(name: str, given: Direction | None = None) -> Direction:
    """The direction that is given, or else known by the metric's name.

    Raises:
        UserError: it is neither.
    """
    found = given or known_direction(name)
    if found is None:
        raise UserError(
            f"the direction of the metric {name[:80]!r}, whose name does not tell it",
            "none",
            'add direction = "maximize" or direction = "minimize"',
        )
    return found


def told(name: str, given: str | None = None) -> str | None:
    """For a person, the direction that is given, or else known by a metric's name; None where it is neither."""
    found = given or known_direction(name)
    return None if found is None else in_words(found == "maximize")


def in_words(higher_is_better: bool) -> str:
    """The direction for a person."""
    return f"{'higher' if higher_is_better else 'lower'} is better"
