"""Directions of metrics by name: what is known, and that nothing is guessed."""

import pytest

from lossearch.errors import UserError
from lossearch.tasks import metrics
from lossearch.tasks.directions import HIGHER, LOWER, direction_of, known_direction

HIGHER_NAMES = """accuracy val_accuracy acc@1 top5-accuracy balanced_accuracy PixelAccuracy mAP mAP@50 IoU mIoU mean_iou
Dice dice_score F1Score f1_macro recall@5 ROC_AUC r2_score PSNR SSIM ms_ssim MS-SSIM test/accuracy ndcg@10
average_precision""".split()  # noqa: SIM905
LOWER_NAMES = """mae val/MAE mean_absolute_error MeanSquaredError rmse val_loss loss error_rate perplexity LPIPS fid
hd95 negative_log_likelihood log_loss BrierScore wer cross_entropy""".split()  # noqa: SIM905
NOT_TOLD = """metric score dice_loss accuracy_error inaccuracy neg_mean_squared_error log_likelihood 1-dice
one_minus_iou fpr@95tpr jaccrd my_accuracy""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", HIGHER_NAMES)
def test_higher_is_better(name: str) -> None:
    assert direction_of(name) == "maximize"


@pytest.mark.parametrize("name", LOWER_NAMES)
def test_lower_is_better(name: str) -> None:
    assert direction_of(name) == "minimize"


@pytest.mark.parametrize("name", [*NOT_TOLD, ""])
def test_what_a_name_does_not_tell_must_be_given(name: str) -> None:
    with pytest.raises(UserError, match='direction = "maximize" or direction = "minimize"'):
        direction_of(name)
    assert direction_of(name, "minimize") == "minimize"


def test_the_tables_agree_with_each_other_and_with_the_bundled_metrics() -> None:
    assert not HIGHER & LOWER
    for name, metric in metrics().items():
        assert (known_direction(name) == "maximize") == metric.higher_is_better
