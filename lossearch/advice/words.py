"""The words in which metrics and architectures are named, and what people call them otherwise."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from lossearch.errors import UserError

METRICS = {
    **dict.fromkeys(("accuracy", "acc", "top1", "top_1", "error", "error_rate"), "accuracy"),
    **dict.fromkeys(("top5_accuracy", "top5", "top_5"), "top5_accuracy"),
    **dict.fromkeys(("balanced_accuracy", "mean_recall", "macro_recall", "uar"), "balanced_accuracy"),
    **dict.fromkeys(("dice", "dice_score", "dice_coefficient", "dsc", "sorensen_dice"), "dice"),
    **dict.fromkeys(("mean_dice", "mdice"), "mean_dice"),
    **dict.fromkeys(("f1", "f1_score", "f_score", "macro_f1"), "f1"),
    **dict.fromkeys(("iou",), "iou"),
    **dict.fromkeys(("jaccard", "jaccard_index", "jaccard_score"), "jaccard"),
    **dict.fromkeys(("mean_iou", "miou"), "mean_iou"),
    **dict.fromkeys(("boundary_f1", "bf_score", "boundary_f", "hausdorff", "hd95", "surface_distance"), "boundary_f1"),
    **dict.fromkeys(("panoptic_quality", "pq"), "panoptic_quality"),
    **dict.fromkeys(("map", "ap", "mean_average_precision", "average_precision", "map50", "map_50"), "map"),
    **dict.fromkeys(("map_small",), "map_small"),
    **dict.fromkeys(("ap_small",), "ap_small"),
    **dict.fromkeys(("precision", "recall", "sensitivity", "specificity"), "recall"),
    **dict.fromkeys(("auc", "auroc", "roc_auc", "pr_auc"), "auc"),
    **dict.fromkeys(("nll", "negative_log_likelihood", "log_loss", "perplexity"), "nll"),
    **dict.fromkeys(("log_likelihood",), "log_likelihood"),
    **dict.fromkeys(("calibration", "ece", "calibration_error", "brier_score"), "calibration"),
    **dict.fromkeys(("coverage",), "coverage"),
    **dict.fromkeys(("mae", "l1", "mape"), "mae"),
    **dict.fromkeys(("mean_absolute_error",), "mean_absolute_error"),
    **dict.fromkeys(("mse", "rmse", "l2", "mean_squared_error", "r2"), "mse"),
    **dict.fromkeys(("pinball", "pinball_loss"), "pinball"),
    **dict.fromkeys(("quantile", "quantile_loss"), "quantile"),
    **dict.fromkeys(("psnr",), "psnr"),
    **dict.fromkeys(("ssim",), "ssim"),
    **dict.fromkeys(("ms_ssim", "msssim"), "ms_ssim"),
    **dict.fromkeys(("lpips",), "lpips"),
    **dict.fromkeys(("fid", "inception_score", "kid"), "fid"),
    **dict.fromkeys(("recall_at_k", "recall_at_1", "ndcg", "mrr"), "recall_at_k"),
    **{word: word for word in ("style", "texture", "attention", "distillation", "unaligned", "hota", "mota", "idf1")},
}
"""What people call a metric, and its name in the rules."""

ARCHITECTURES = {
    **dict.fromkeys(("mlp", "fully_connected", "dense_network"), "mlp"),
    **dict.fromkeys(("linear", "logistic_regression", "linear_probe"), "linear"),
    **dict.fromkeys(
        ("cnn", "resnet", "convnet", "convnext", "unet", "u_net", "efficientnet", "mobilenet", "vgg"), "cnn"
    ),
    **dict.fromkeys(("densenet", "deeplab", "yolo", "fpn", "resnext", "wide_resnet", "nnunet"), "cnn"),
    **dict.fromkeys(("vit", "transformer", "swin", "deit", "segformer", "detr", "bert"), "vit"),
    **dict.fromkeys(("masked_autoencoder", "simmim"), "masked_autoencoder"),
    **{
        word: word for word in ("mae", "gan", "vae", "autoencoder", "diffusion", "rnn", "lstm", "gru", "gnn", "siamese")
    },
}
"""What people call an architecture, and its name in the rules."""


def metric_named(name: str) -> str:
    """The metric's name in the rules; raises `UserError`, with names that are alike, for an unknown one."""
    return _known(name, METRICS, "a metric")


def architecture_named(name: str) -> str:
    """The architecture's name in the rules, whatever digits it ends with: `resnet50`; raises `UserError` alike."""
    try:
        return _known(name.rstrip("0123456789-_ "), ARCHITECTURES, "an architecture")
    except UserError:
        return _known(name, ARCHITECTURES, "an architecture")


def _known(name: str, words: Mapping[str, str], what: str) -> str:
    word = name.strip().lower().replace("-", "_").replace(" ", "_").replace("@", "_at_")
    if word in words:
        return words[word]
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(dict.fromkeys(words.values()))}"
    raise UserError(f"{what} that the advice knows, or none", repr(name[:80]), hint)
