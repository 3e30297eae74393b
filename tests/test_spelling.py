from halfseen.spelling import did_you_mean


def test_the_nearest_word_is_proposed_and_none_where_none_is_near():
    assert did_you_mean("dinov3", ["resnet", "dinov2", "mae"]) == "; did you mean 'dinov2'?"
    assert did_you_mean("xyz", ["resnet", "dinov2", "mae"]) == ""
    assert did_you_mean(7, []) == ""


def test_several_are_proposed_nearest_first():
    words = ["resnet18", "resnet50d", "vgg", "resnet5"]
    assert did_you_mean("resnet50", words, 2) == "; did you mean 'resnet50d' or 'resnet5'?"
