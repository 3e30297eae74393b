localrules:
    gather_tables,
    write_table1,
    write_table1_passing,
    judge_claims,
    compare_with_paper,
    summarise_masks,
    summarise_datasets,
    make_atlas,
    make_report,


# What the paper says, as expressions over these tables.
LEDGER = read_ledger(
    ROOT / "workflow/resources/claims.yaml",
    ROOT / "workflow/schemas/claims.schema.yaml",
    list(TABLES),
)
# What it tells of its set-up and leaves open, and what this study chose.
CHOICES = read_choices(
    ROOT / "workflow/resources/choices.yaml",
    ROOT / "workflow/schemas/choices.schema.yaml",
    settings_for_choices(study, LABELS),
)
PLACES = places(study)


rule gather_tables:
    input:
        **{name: every(stage, file) for name, (stage, file, _) in TABLES.items()},
    output:
        **{
            name: report(
                f"{RESULTS}/tables/{name}.csv",
                caption=f"../report/data_{name}.rst",
                category="Data",
                labels={"table": name.replace("_", " "), "behind": behind},
            )
            for name, (*_, behind) in TABLES.items()
        },
        dictionary=f"{RESULTS}/README.md",
        artifacts=f"{RESULTS}/artifacts.csv",
    log:
        f"results/logs/gather_tables/{STUDY}.log",
    benchmark:
        f"results/benchmarks/gather_tables/{STUDY}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        dictionary=digest_of("resources/data_dictionary.md"),
        made_from=keys_of(*RULES),
        artifacts=listed_artifacts,
        code=code("gather_tables.py"),
    script:
        "../scripts/gather_tables.py"


rule write_table1:
    input:
        probes=rules.gather_tables.output.probes,
        cells=rules.gather_tables.output.cells,
    output:
        csv=f"{RESULTS}/table1.csv",
        published=f"{RESULTS}/published.csv",
        markdown=f"{RESULTS}/table1.md",
        latex=f"{RESULTS}/table1.tex",
        html=report(
            f"{RESULTS}/table1.html",
            caption="../report/table1.rst",
            category="Results",
            labels={"result": "Table 1", "shows": "balanced accuracy"},
        ),
    log:
        f"results/logs/write_table1/{STUDY}.log",
    benchmark:
        f"results/benchmarks/write_table1/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants", "probes"),
        resources=digest_of("resources/paper_table1.csv", "resources/published_probes.csv"),
        code=code("write_table1.py"),
    script:
        "../scripts/write_table1.py"


rule write_table1_passing:
    input:
        predictions=every("probes", "predictions"),
        masks=rules.gather_tables.output.masks,
    output:
        csv=f"{RESULTS}/table1_passing.csv",
        html=report(
            f"{RESULTS}/table1_passing.html",
            caption="../report/table1_passing.rst",
            category="Results",
            labels={"result": "Table 1, passing masks", "shows": "balanced accuracy"},
        ),
    log:
        f"results/logs/write_table1_passing/{STUDY}.log",
    benchmark:
        f"results/benchmarks/write_table1_passing/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants"),
        protocol=study.protocols[0],
        made_from=keys_of("probes"),
        code=code("write_table1_passing.py"),
    script:
        "../scripts/write_table1_passing.py"


rule judge_claims:
    input:
        **{name: getattr(rules.gather_tables.output, name) for name in tables_of(LEDGER)},
    output:
        csv=f"{RESULTS}/claims.csv",
        cells=f"{RESULTS}/claims_cells.csv",
        html=report(
            f"{RESULTS}/claims.html",
            caption="../report/claims.rst",
            category="Results",
            labels={"result": "Claims", "shows": "what of the paper holds"},
        ),
    log:
        f"results/logs/judge_claims/{STUDY}.log",
    benchmark:
        f"results/benchmarks/judge_claims/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        ledger=LEDGER,
        title=study.selected["title"],
        datasets=study.column("datasets", "kind"),
        models=trained_models(study),
        choices=choices_for_claims(study, MEASURE_KINDS),
        level=config["bootstrap"]["level"],
        labels=labels_of("datasets", "models"),
        notes=study.column("datasets", "mask_note"),
        printed=digest_of("resources/paper_table1.csv"),
        code=code("judge_claims.py"),
    script:
        "../scripts/judge_claims.py"


rule compare_with_paper:
    input:
        table1=rules.write_table1.output.csv,
    output:
        csv=f"{RESULTS}/paper_comparison.csv",
        choices=f"{RESULTS}/choices.csv",
        html=report(
            f"{RESULTS}/paper_comparison.html",
            caption="../report/paper_comparison.rst",
            category="Results",
            labels={"result": "Table 1", "shows": "the paper beside ours"},
        ),
    log:
        f"results/logs/compare_with_paper/{STUDY}.log",
    benchmark:
        f"results/benchmarks/compare_with_paper/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        choices=CHOICES,
        title=study.selected["title"],
        labels=labels_of("datasets", "models", "variants", "probes")
        | {"prompts": LABELS["prompts"]},
        code=code("compare_with_paper.py"),
    script:
        "../scripts/compare_with_paper.py"


rule summarise_masks:
    input:
        masks=rules.gather_tables.output.masks,
    output:
        csv=f"{RESULTS}/masks.csv",
        html=report(
            f"{RESULTS}/masks.html",
            caption="../report/masks.rst",
            category="Results",
            labels={"result": "Masks", "shows": "quality of the masks"},
        ),
        fallbacks_csv=f"{RESULTS}/fallbacks.csv",
        fallbacks_html=report(
            f"{RESULTS}/fallbacks.html",
            caption="../report/fallbacks.rst",
            category="Results",
            labels={"result": "Masks", "shows": "fallbacks by class"},
        ),
    log:
        f"results/logs/summarise_masks/{STUDY}.log",
    benchmark:
        f"results/benchmarks/summarise_masks/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets"),
        notes=study.column("datasets", "mask_note"),
        passing=config["passing_masks"],
        code=code("summarise_masks.py"),
    script:
        "../scripts/summarise_masks.py"


rule plot_mask_quality:
    input:
        masks=rules.gather_tables.output.masks,
    output:
        pdf=f"{RESULTS}/figures/masks_quality.pdf",
        svg=f"{RESULTS}/figures/masks_quality.svg",
        png=report(
            f"{RESULTS}/figures/masks_quality.png",
            caption="../report/mask_quality.rst",
            category="Results",
            labels={"result": "Masks", "shows": "area, predicted IoU and stability"},
        ),
    log:
        f"results/logs/plot_mask_quality/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_mask_quality/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets"),
        passing=config["passing_masks"],
        code=code("plot_mask_quality.py"),
    script:
        "../scripts/plot_mask_quality.py"


rule plot_mask_examples:
    input:
        unpack(masks_and_shards),
    output:
        pdf=f"{RESULTS}/figures/masks_of_{{dataset}}.pdf",
        png=report(
            f"{RESULTS}/figures/masks_of_{{dataset}}.png",
            caption="../report/mask_examples.rst",
            category="Results",
            labels=mask_example_labels,
        ),
    log:
        f"results/logs/plot_mask_examples/{STUDY}/{{dataset}}.log",
    benchmark:
        f"results/benchmarks/plot_mask_examples/{STUDY}/{{dataset}}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        label=dataset_label,
        made_from=mask_keys,
        code=code("plot_mask_examples.py"),
    script:
        "../scripts/plot_mask_examples.py"


# Not part of a study's results: `snakemake export_masks`.
rule write_coco:
    input:
        unpack(masks_and_shards),
    output:
        folder=directory(f"{RESULTS}/masks/{{dataset}}"),
    log:
        f"results/logs/write_coco/{STUDY}/{{dataset}}.log",
    benchmark:
        f"results/benchmarks/write_coco/{STUDY}/{{dataset}}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        description=dataset_label,
        made_from=mask_keys,
        code=code("write_coco.py"),
    script:
        "../scripts/write_coco.py"


rule export_masks:
    input:
        collect(rules.write_coco.output.folder, dataset=study.datasets),


rule summarise_datasets:
    input:
        manifests=every("manifests", "manifest"),
        near_duplicates=every("manifests", "near_duplicates"),
        bad_images=every("manifests", "bad_images"),
    output:
        csv=f"{RESULTS}/datasets.csv",
        html=report(
            f"{RESULTS}/datasets.html",
            caption="../report/datasets.rst",
            category="Results",
            labels={"result": "Data sets", "shows": "images, classes and near-duplicates"},
        ),
    log:
        f"results/logs/summarise_datasets/{STUDY}.log",
    benchmark:
        f"results/benchmarks/summarise_datasets/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        datasets=study.datasets,
        labels=labels_of("datasets"),
        made_from=keys_of("manifests"),
        code=code("summarise_datasets.py"),
    script:
        "../scripts/summarise_datasets.py"


rule plot_variants:
    input:
        manifests=every("manifests", "manifest"),
        shards=every("shards", "shard"),
    output:
        pdf=f"{RESULTS}/figures/figure1_variants.pdf",
        svg=f"{RESULTS}/figures/figure1_variants.svg",
        png=report(
            f"{RESULTS}/figures/figure1_variants.png",
            caption="../report/figure1_variants.rst",
            category="Results",
            labels={"result": "Figure 1", "shows": "the variants"},
        ),
    log:
        f"results/logs/plot_variants/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_variants/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        datasets=study.datasets,
        variants=study.rows("variants"),
        labels=labels_of("datasets", "variants"),
        seed=config["seed"],
        made_from=keys_of("manifests", "shards"),
        code=code("plot_variants.py"),
    script:
        "../scripts/plot_variants.py"


rule plot_similarity:
    input:
        table=rules.gather_tables.output.similarity,
    output:
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
        svg=f"{RESULTS}/figures/{{figure}}.svg",
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption="../report/figures2_3_similarity.rst",
            category="Results",
            labels=figure_labels,
        ),
    log:
        f"results/logs/plot_similarity/{STUDY}/{{figure}}.log",
    benchmark:
        f"results/benchmarks/plot_similarity/{STUDY}/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(FIGURE_MEASURES),
    conda:
        "../../envs/figures.yaml"
    params:
        measure=figure_measure,
        labels=labels_of("datasets", "models", "variants", "measures"),
        code=code("plot_similarity.py"),
    script:
        "../scripts/plot_similarity.py"


rule plot_transfer:
    input:
        cells=rules.gather_tables.output.cells,
    output:
        pdf=f"{RESULTS}/figures/transfer_{{centering}}.pdf",
        svg=f"{RESULTS}/figures/transfer_{{centering}}.svg",
        png=report(
            f"{RESULTS}/figures/transfer_{{centering}}.png",
            caption="../report/transfer.rst",
            category="Results",
            labels={"result": "Transfer", "shows": "{centering} test variants"},
        ),
    log:
        f"results/logs/plot_transfer/{STUDY}/{{centering}}.log",
    benchmark:
        f"results/benchmarks/plot_transfer/{STUDY}/{{centering}}.tsv"
    wildcard_constraints:
        centering="raw|recentred",
    conda:
        "../../envs/figures.yaml"
    params:
        protocol=study.protocols[0],
        labels=labels_of("datasets", "models", "variants"),
        code=code("plot_transfer.py"),
    script:
        "../scripts/plot_transfer.py"


rule plot_model_map:
    input:
        table=rules.gather_tables.output.map,
    output:
        pdf=f"{RESULTS}/figures/model_map.pdf",
        svg=f"{RESULTS}/figures/model_map.svg",
        png=report(
            f"{RESULTS}/figures/model_map.png",
            caption="../report/model_map.rst",
            category="Results",
            labels={"result": "Similarity", "shows": "a map of all models and variants"},
        ),
    log:
        f"results/logs/plot_model_map/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_model_map/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants"),
        places=PLACES,
        code=code("plot_model_map.py"),
    script:
        "../scripts/plot_model_map.py"


rule plot_component_curves:
    input:
        table=rules.gather_tables.output.curves,
    output:
        pdf=f"{RESULTS}/figures/component_curves.pdf",
        svg=f"{RESULTS}/figures/component_curves.svg",
        png=report(
            f"{RESULTS}/figures/component_curves.png",
            caption="../report/component_curves.rst",
            category="Results",
            labels={"result": "Similarity", "shows": "CKA without the leading components"},
        ),
    log:
        f"results/logs/plot_component_curves/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_component_curves/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants"),
        places=PLACES,
        code=code("plot_component_curves.py"),
    script:
        "../scripts/plot_component_curves.py"


rule plot_additivity:
    input:
        table=rules.gather_tables.output.additivity,
    output:
        pdf=f"{RESULTS}/figures/additivity.pdf",
        svg=f"{RESULTS}/figures/additivity.svg",
        png=report(
            f"{RESULTS}/figures/additivity.png",
            caption="../report/additivity.rst",
            category="Results",
            labels={"result": "Similarity", "shows": "what the original consists of"},
        ),
    log:
        f"results/logs/plot_additivity/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_additivity/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants"),
        code=code("plot_additivity.py"),
    script:
        "../scripts/plot_additivity.py"


rule plot_neighbors:
    input:
        neighbors=rules.gather_tables.output.neighbors,
        umap=rules.gather_tables.output.umap,
    output:
        pdf=f"{RESULTS}/figures/figure4_neighbors.pdf",
        svg=f"{RESULTS}/figures/figure4_neighbors.svg",
        png=report(
            f"{RESULTS}/figures/figure4_neighbors.png",
            caption="../report/figure4_neighbors.rst",
            category="Results",
            labels={"result": "Figure 4", "shows": "neighbours and UMAP"},
        ),
    log:
        f"results/logs/plot_neighbors/{STUDY}.log",
    benchmark:
        f"results/benchmarks/plot_neighbors/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        labels=labels_of("datasets", "models", "variants"),
        places=PLACES,
        code=code("plot_neighbors.py"),
    script:
        "../scripts/plot_neighbors.py"


# Of a study with circles of several radii alone; by its wildcard, clean_orphans knows that others have none.
rule plot_dose_response:
    input:
        cells=rules.gather_tables.output.cells,
        similarity=rules.gather_tables.output.similarity,
    output:
        csv=f"{RESULTS}/{{curve}}.csv",
        pdf=f"{RESULTS}/figures/{{curve}}.pdf",
        svg=f"{RESULTS}/figures/{{curve}}.svg",
        png=report(
            f"{RESULTS}/figures/{{curve}}.png",
            caption="../report/dose_response.rst",
            category="Results",
            labels={"result": "Dose and response", "shows": "circles of several radii"},
        ),
    log:
        f"results/logs/plot_dose_response/{STUDY}/{{curve}}.log",
    benchmark:
        f"results/benchmarks/plot_dose_response/{STUDY}/{{curve}}.tsv"
    wildcard_constraints:
        curve="dose_response",
    conda:
        "../../envs/figures.yaml"
    params:
        variants=study.rows("variants"),
        protocol=study.protocols[0],
        measure=study.first_measure("linear_cka"),
        labels=labels_of("datasets", "models"),
        places=PLACES,
        code=code("plot_dose_response.py"),
    script:
        "../scripts/plot_dose_response.py"


# Everything of a study but its report. What its selection leaves nothing to draw of is left out, and said.
rule make_results:
    input:
        rules.gather_tables.output,
        rules.write_table1.output,
        rules.write_table1_passing.output,
        rules.judge_claims.output,
        rules.compare_with_paper.output,
        rules.summarise_masks.output,
        rules.summarise_datasets.output,
        collect(rules.plot_mask_examples.output, dataset=study.datasets),
        collect(f"{RESULTS}/figures/{{figure}}.png", figure=figures(study)),


# One page to look at, from what is there: it draws and selects, and computes nothing.
rule make_atlas:
    input:
        table1=rules.write_table1.output.csv,
        masks=rules.gather_tables.output.masks,
        summary=rules.summarise_masks.output.csv,
        fallbacks=rules.summarise_masks.output.fallbacks_csv,
        similarity=rules.gather_tables.output.similarity,
        calibration=rules.gather_tables.output.calibration,
        neighbors=rules.gather_tables.output.neighbors,
        umap=rules.gather_tables.output.umap,
        trustworthiness=rules.gather_tables.output.trustworthiness,
        manifests=every("manifests", "manifest"),
        shards=every("shards", "shard"),
        predictions=every("probes", "predictions"),
        claims=rules.judge_claims.output.csv,
        weights=weight_records,
    output:
        html=f"{RESULTS}/atlas.html",
    log:
        f"results/logs/make_atlas/{STUDY}.log",
    benchmark:
        f"results/benchmarks/make_atlas/{STUDY}.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        study=atlas_settings(study, LABELS),
        config=config_used(study),
        made=rows_for_atlas,
        made_from=keys_of("shards", "features", "probes"),
        kinds=list(study.column("datasets", "kind").values()),
        mask_notes=study.column("datasets", "mask_note"),
        packages=pinned_packages(ROOT / "envs"),
        run=SimpleNamespace(commit=COMMIT),
        parts=digest_of(
            *sorted(
                f"resources/atlas/{path.name}"
                for path in (ROOT / "workflow/resources/atlas").iterdir()
            )
        ),
        code=code("make_atlas.py"),
    script:
        "../scripts/make_atlas.py"


# A Snakemake of its own reads what this run has recorded and changes nothing, so it needs no lock. It belongs to the
# environment that Snakemake itself runs in: hence `run`, the one rule without a script.
rule make_report:
    input:
        results=rules.make_results.input,
    output:
        report=f"{RESULTS}/report.html",
    log:
        f"results/logs/make_report/{STUDY}.log",
    benchmark:
        f"results/benchmarks/make_report/{STUDY}.tsv"
    params:
        captions=digest_of(
            *sorted(f"report/{path.name}" for path in (ROOT / "workflow/report").iterdir())
        ),
    run:
        snakemake_again(["make_results", "--nolock", "--report", output.report], log[0])
