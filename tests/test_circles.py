from halfseen.circles import has_doses

CIRCLE = {"center": {"keep": "center", "radius": 0.4}, "border": {"keep": "border", "radius": 0.4}}


def test_several_radii_of_one_kind_are_doses_and_one_of_each_kind_is_none():
    assert not has_doses({"whole": {"keep": "everything"}})
    assert not has_doses(CIRCLE)
    # The same circle twice, as with another fill, is no second dose.
    assert not has_doses(CIRCLE | {"grey": {"keep": "center", "radius": 0.4}})
    assert has_doses(CIRCLE | {"small": {"keep": "center", "radius": 0.2}})
    assert has_doses(CIRCLE | {"rim": {"keep": "border", "radius": 0.45}})
