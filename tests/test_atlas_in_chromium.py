"""The atlas as a person uses it: opened from disk in headless Chromium, without a network."""

import json
import re
import shutil

import numpy as np
import pytest
from small_atlas import DATASETS, HOSTILE, MODELS, VARIANTS, write_small_atlas

from halfseen.variants import visible_pixels

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DESKTOP, PHONE = (1280, 900), (390, 844)
PARTS = ["front", "table1", "matrices", "neighbors", "umap", "images", "claims", "masks", "making"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not there; Debian's package `chromium` has it")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser):
    """A function that opens a page from disk; what went wrong and what was asked for is noted."""
    contexts, notes = [], []

    def requested(route):
        if not route.request.url.startswith("file:"):
            notes.append(f"asked for {route.request.url}")
            return route.abort()
        return route.continue_()

    def complained(message):
        if message.type in ("error", "warning"):
            notes.append(f"console: {message.text}")

    def open_page(path, size=DESKTOP, **options):
        width, height = size
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, offline=True, **options)
        context.route("**/*", requested)
        page = context.new_page()
        page.on("console", complained)
        page.on("pageerror", lambda error: notes.append(f"error: {error}"))
        page.goto(path.as_uri())
        contexts.append(context)
        return page

    open_page.notes = notes
    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def page(opened, small_atlas):
    return opened(small_atlas.path)


@pytest.fixture(autouse=True)
def _nothing_was_asked_for_and_nothing_complained(opened):
    opened.notes.clear()
    yield
    assert opened.notes == []


def points(page):
    """How many points UMAP shows."""
    return page.locator("#umap .scatterlayer path.point").count()


def shown_images(page):
    """The images of the browser that the filters leave: pairs of data set and id."""
    while page.locator("[data-more]").is_visible():
        page.locator("[data-more]").click()
    names = page.locator("[data-grid] button").evaluate_all(
        "buttons => buttons.map((button) => button.dataset.image)"
    )
    return [tuple(name.split("/")) for name in names]


def similarity(small_atlas, measure, dataset, model, x, y):
    table = small_atlas.tables["similarity"]
    [row] = table[
        (table.measure == measure) & (table.dataset == dataset) & (table.model == model)
        & (table.variant_x == x) & (table.variant_y == y)
    ].itertuples()  # fmt: skip
    return row


# Opening it


def test_every_part_is_there_and_drawn_and_no_script_of_a_class_s_name_has_run(page):
    for part in PARTS:
        page.locator(f"#{part}").scroll_into_view_if_needed()
        assert page.locator(f"#{part} h2").is_visible()
    page.wait_for_selector("#masks .bars path", state="attached")
    page.locator("#table1").scroll_into_view_if_needed()
    page.wait_for_selector("#table1 path.point")
    assert page.evaluate("window.hostile") is None
    page.locator("#images").scroll_into_view_if_needed()
    page.wait_for_selector("[data-grid] button")
    names = page.locator("#images select[name=class] option").all_inner_texts()
    assert HOSTILE in names


def test_a_page_that_wanted_to_load_something_could_not(page, opened):
    blocked = page.evaluate(
        """() => new Promise((done) => {
            const refused = (event) => done(event.violatedDirective);
            document.addEventListener("securitypolicyviolation", refused);
            const image = new Image();
            image.src = "https://example.org/picture.png";
        })"""
    )
    assert blocked == "img-src"
    assert [note for note in opened.notes if note.startswith("asked for")] == []
    opened.notes.clear()


@pytest.mark.parametrize("missing", [("claims",), ("umap", "neighbors", "masks", "summary")])
def test_a_study_without_some_tables_opens_without_these_parts(opened, root, tmp_path, missing):
    small = write_small_atlas(root, tmp_path, without=missing)
    page = opened(small.path)
    for part in PARTS:
        page.locator(f"#{part}").scroll_into_view_if_needed()
    page.wait_for_selector("[data-grid] button")
    told = {"claims": "claims", "umap": "umap", "neighbors": "neighbors", "summary": "masks"}
    for name in set(missing) & set(told):
        assert "This study has no" in page.locator(f"#{told[name]}").inner_text()
    assert len(shown_images(page)) == small.shown


# The matrices


def cell(page, model, x, y):
    return page.locator(f'#matrices td[data-pair="{model}|{x}|{y}"]')


def test_a_cell_that_is_pointed_at_tells_the_value_the_null_and_the_interval_of_the_table(
    page, small_atlas
):
    row = similarity(small_atlas, "cka", "scenes", "second", "foreground", "original")
    cell(page, "second", "foreground", "original").hover()
    tip = page.locator("#tip").inner_text()
    assert f"Foreground and Original: {row.similarity:.3f}" in tip
    assert f"null {float(row.null):.3f}" in tip
    assert f"95 % interval {row.low:.3f} to {row.high:.3f}" in tip
    assert "p 0.005 against images paired at random" in tip
    assert "p 0.250 within classes" in tip


def test_the_switch_to_debiased_shows_the_values_of_that_measure_and_back(page, small_atlas):
    place = ("scenes", "first", "center", "border")
    for treatment, measure in [("debiased", "cka_debiased"), ("biased", "cka")]:
        page.locator("#matrices").get_by_label(treatment, exact=True).check()
        row = similarity(small_atlas, measure, *place)
        assert cell(page, *place[1:]).inner_text() == f"{row.similarity:.2f}"


def test_the_other_data_set_and_a_measure_without_a_null_show_theirs(page, small_atlas):
    page.locator("#matrices select[name=dataset]").select_option("textures")
    page.locator("#matrices select[name=measure]").select_option(label="Procrustes")
    row = similarity(small_atlas, "procrustes", "textures", "first", "center", "border")
    cell(page, "first", "center", "border").hover()
    tip = page.locator("#tip").inner_text()
    assert f"{row.similarity:.3f}" in tip
    assert "no null in closed form" in tip
    assert page.locator("#matrices input[type=radio]").count() == 0
    page.locator("#matrices select[name=measure]").select_option(label="Linear CKA")
    page.locator("#matrices select[name=dataset]").select_option("scenes")


def test_arrow_keys_walk_through_a_matrix_and_escape_closes_what_it_tells(page):
    cell(page, "first", "original", "original").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.pair") == "first|foreground|foreground"
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()
    # One stop of the Tab key for the whole matrix.
    assert page.locator('#matrices table >> nth=0 >> td[tabindex="0"]').count() == 1


# UMAP


def test_a_variant_that_is_switched_off_takes_its_points_away_and_only_these(page, small_atlas):
    page.locator("#umap").scroll_into_view_if_needed()
    page.wait_for_selector("#umap path.point")
    table = small_atlas.tables["umap"]
    fit = table[(table.dataset == "scenes") & (table.model == "first") & (table.seed == 0)]
    assert points(page) == len(fit)
    page.locator("#umap").get_by_label("Foreground").uncheck()
    assert points(page) == (fit.variant != "foreground").sum()
    page.locator("#umap").get_by_label("Border").uncheck()
    assert points(page) == (~fit.variant.isin(["foreground", "border"])).sum()
    for name in ("Foreground", "Border"):
        page.locator("#umap").get_by_label(name).check()
    assert points(page) == len(fit)


def test_another_model_and_seed_show_their_own_points_and_trustworthiness(page, small_atlas):
    table = small_atlas.tables["umap"]
    page.locator("#umap select[name=model]").select_option("second")
    page.locator("#umap select[name=seed]").select_option("1")
    assert "Trustworthiness 0.910" in page.locator("#umap [data-legend]").inner_text()
    fit = table[(table.dataset == "scenes") & (table.model == "second") & (table.seed == 1)]
    shown = page.evaluate("document.querySelector('[data-plane]').data[1].x")
    expected = fit[fit.variant == "foreground"].sort_values("image_id").x
    assert shown == pytest.approx(expected.tolist(), abs=6e-4)


def test_a_point_that_is_pointed_at_shows_its_picture(page):
    # Plotly listens on a layer above its points.
    page.locator("#umap path.point").first.hover(force=True)
    page.wait_for_selector("[data-point] .picture img")
    assert re.fullmatch(
        r"[abc]_\d\d\|original", page.locator("[data-point]").get_attribute("data-shown")
    )


def test_points_are_reached_by_arrow_keys_and_opened_by_enter(page):
    page.locator("[data-plane]").focus()
    seen = set()
    for key in ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"] * 2:
        page.keyboard.press(key)
        seen.add(page.locator("[data-point]").get_attribute("data-shown"))
    assert len(seen) > 2
    page.keyboard.press("Enter")
    image_id = page.locator("[data-point]").get_attribute("data-shown").split("|")[0]
    assert image_id in page.locator("#viewer-title").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


# The images


def set_filter(page, name, value):
    page.locator(f"#images select[name={name}]").select_option(value)


@pytest.fixture
def filters(page):
    page.locator("#images").scroll_into_view_if_needed()
    page.wait_for_selector("[data-grid] button")
    yield page
    page.locator("#images form").evaluate("form => form.reset()")
    set_filter(page, "dataset", "")
    set_filter(page, "class", "")


def test_a_class_is_chosen_and_an_image_opened_and_left_by_keyboard_alone(filters, small_atlas):
    page = filters
    page.evaluate("document.activeElement.blur()")
    page.evaluate("window.scrollTo(0, 0)")
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "class":
            break
    page.keyboard.type("dog")
    manifest = small_atlas.manifests["scenes"]
    expected = manifest.image_id[manifest.label_name == "dog"].tolist()
    assert (
        page.locator("[data-count]").inner_text()
        == f"{len(expected)} of {small_atlas.shown} images"
    )
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.image"):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#viewer-title").inner_text() == f"dog · {expected[1]}"
    page.keyboard.press("ArrowRight")
    assert page.locator("#viewer-title").inner_text() == f"dog · {expected[2]}"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.image") == f"scenes/{expected[1]}"


@pytest.mark.parametrize(
    ("model", "lost", "protocol", "fitted"),
    [
        ("first", "foreground", "nested", "own"),
        ("second", "foreground", "nested", "reference"),
        ("second", "border", "knn", "own"),
    ],
)
def test_recognised_in_the_original_but_not_in_another_variant_lists_exactly_those_images(
    filters, small_atlas, model, lost, protocol, fitted
):
    expected = []
    for dataset in DATASETS:
        rows = small_atlas.predictions(dataset, model)
        rows = rows[(rows.protocol == protocol) & (rows.control == "none")]
        rows = rows[rows.centering == "raw"].assign(right=rows.predicted == rows.label)
        whole = rows[(rows.train_variant == "original") & (rows.test_variant == "original")]
        fitted_on = "original" if fitted == "reference" else lost
        part = rows[(rows.train_variant == fitted_on) & (rows.test_variant == lost)]
        known = set(whole.image_id[whole.right]) - set(part.image_id[part.right])
        expected += [(dataset, image_id) for image_id in sorted(known)]
    assert expected
    for name, value in {
        "model": model,
        "wrong": lost,
        "protocol": protocol,
        "fitted": fitted,
    }.items():
        set_filter(filters, name, value)
    assert sorted(shown_images(filters)) == sorted(expected)


@pytest.mark.parametrize("choice", ["passing", "failing", "fallback"])
def test_masks_that_pass_do_not_or_are_a_fallback_are_found_by_the_table(
    filters, small_atlas, choice
):
    masks = small_atlas.tables["masks"]
    wanted = {
        "passing": masks.passes == 1, "failing": masks.passes == 0, "fallback": masks.fallback != ""
    }[choice]  # fmt: skip
    set_filter(filters, "mask", choice)
    expected = list(masks[wanted][["dataset", "image_id"]].itertuples(index=False, name=None))
    assert sorted(shown_images(filters)) == sorted(expected)


def test_bounds_of_the_predicted_iou_and_the_data_set_hold_together(filters, small_atlas):
    masks = small_atlas.tables["masks"]
    wanted = (masks.dataset == "scenes") & masks.predicted_iou.between(0.85, 0.95)
    filters.locator("#images input[name=lowest]").fill("0.85")
    filters.locator("#images input[name=highest]").fill("0.95")
    set_filter(filters, "dataset", "scenes")
    assert {image_id for _, image_id in shown_images(filters)} == set(masks.image_id[wanted])


def test_the_five_variants_of_an_image_hide_exactly_their_pixels(filters, small_atlas):
    filters.locator('[data-image="scenes/b_03"]').click()
    place = small_atlas.manifests["scenes"].image_id.tolist().index("b_03")
    mask = small_atlas.masks["scenes"][place][None]
    pictures = filters.locator("#viewer .variants .picture")
    for number, row in enumerate(VARIANTS.values()):
        # 127 is what hides; the images have no colour above 99.
        hidden = pictures.nth(number).evaluate(
            """async (picture) => {
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 224;
                const context = canvas.getContext("2d");
                for (const image of picture.children) {
                    await image.decode();
                    context.drawImage(image, 0, 0);
                }
                const { data } = context.getImageData(0, 0, 224, 224);
                const grey = (i) => [0, 1, 2].every((channel) => data[4 * i + channel] === 127);
                return Array.from({ length: 224 * 224 }, (_, i) => grey(i) ? 1 : 0).join("");
            }"""
        )
        visible = visible_pixels(row["keep"], mask, row["radius"])[0]
        found = np.array(list(hidden)).reshape(224, 224) == "1"
        assert (found == ~visible).all(), row["keep"]
    filters.keyboard.press("Escape")


def test_an_open_image_tells_every_model_s_predictions_and_its_mask(filters, small_atlas):
    filters.locator('[data-image="textures/a_05"]').click()
    names = small_atlas.manifests["textures"].drop_duplicates("label").label_name.tolist()
    for model in MODELS:
        rows = small_atlas.predictions("textures", model)
        rows = rows[(rows.image_id == "a_05") & (rows.protocol == "nested")]
        rows = rows[(rows.control == "none") & (rows.centering == "raw")]
        own = rows[rows.train_variant == rows.test_variant].set_index("test_variant")
        for variant in VARIANTS:
            row = own.loc[variant]
            mark = "✓" if row.predicted == row.label else "✗"
            told = filters.locator(f'#viewer td[data-cell="{model}|{variant}"]').inner_text()
            assert told == f"{mark} {names[row.predicted]}"
    text = filters.locator("#viewer dl").inner_text()
    assert "MobileSAM" in text
    assert "box, boxes 30, 43, 148, 156" in text
    assert "the prompt gave none" in text
    filters.keyboard.press("Escape")


# For everybody


def test_on_a_phone_nothing_but_boxes_of_their_own_scrolls_sideways(opened, small_atlas):
    page = opened(small_atlas.path, size=PHONE, has_touch=True, is_mobile=True)
    for part in PARTS:
        page.locator(f"#{part}").scroll_into_view_if_needed()
        page.wait_for_timeout(60)
    page.wait_for_selector("#masks .bars path", state="attached")
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == PHONE[0]
    page.locator("#matrices td[data-pair]").nth(3).tap()
    assert page.locator("#tip").is_visible()
    assert page.evaluate(width) == PHONE[0]
    page.locator("[data-grid] button").first.tap()
    assert page.locator("#viewer").evaluate("node => node.scrollWidth <= node.clientWidth")
    assert page.locator("#viewer").bounding_box()["width"] <= PHONE[0]


def test_every_control_has_a_name_every_table_heads_and_every_picture_a_description(page):
    names = page.locator("select, input, button").evaluate_all(
        "all => all.map((one) => one.labels?.length || one.textContent || one.ariaLabel)"
    )
    assert all(names)
    headless = page.locator("table").evaluate_all(
        "all => all.filter((table) => !table.querySelector('th[scope]')).length"
    )
    assert headless == 0
    assert page.locator("img:not([alt])").count() == 0
    levels = page.locator("h1, h2, h3").evaluate_all(
        "all => all.map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_what_has_the_focus_is_outlined(page):
    page.locator("#umap select[name=model]").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_nothing_moves_for_those_who_asked_for_that(opened, small_atlas):
    page = opened(small_atlas.path, reduced_motion="reduce")
    page.locator("#umap").scroll_into_view_if_needed()
    page.wait_for_selector("#umap path.point")
    page.locator("[data-plane]").hover()
    moving = page.evaluate("document.getAnimations().length")
    durations = page.locator("#umap *").evaluate_all(
        "all => [...new Set(all.map((one) => getComputedStyle(one).transitionDuration))]"
    )
    assert (moving, durations) == (0, ["0s"])


def test_no_button_of_a_plot_sends_it_away(page):
    page.locator("#umap").scroll_into_view_if_needed()
    page.wait_for_selector("#umap path.point")
    titles = page.locator(".modebar-btn").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert titles
    assert [
        title for title in titles if re.search("[Ss]hare|[Ss]end|[Cc]loud|[Ee]dit", title)
    ] == []


def test_the_ledger_s_claims_are_told_with_verdict_effect_and_interval_as_text(page, small_atlas):
    page.locator("#claims summary").click()
    rows = page.locator("#claims tbody tr")
    assert rows.count() == len(small_atlas.tables["claims"])
    first, second, third = (" ".join(text.split()) for text in rows.all_inner_texts())
    assert "holds" in first
    assert "0.146 [0.100, 0.200]" in first
    assert "does not hold" in second
    assert "Nothing <b>matters</b>." in second
    assert "not tested" in third
    marks = page.locator("#claims table >> nth=0 >> .verdict").evaluate_all(
        "all => all.map((one) => getComputedStyle(one, '::before').content.trim())"
    )
    assert [json.loads(mark).strip() for mark in marks] == ["✓", "✗"]
