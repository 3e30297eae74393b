"""What the jobs of a study cost: how time, disk and memory grow with images and models."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

BYTES = 4e-6  # MB of a float32
DOUBLE = 2 * BYTES  # of a float64
SAM_PX = 1024  # the side of the image that a segmenter's multiply-adds were counted at


@dataclass(frozen=True)
class Size:
    """Images and classes of a data set, and where these numbers are from."""

    n: int
    n_classes: int
    source: str


@dataclass(frozen=True)
class Cost:
    """What one job takes on one core: seconds without a GPU, and with one where it can use it.

    `subject` is whose pace it has, `assumed` what no row of the rates tells of. Disk is what it
    leaves, memory its peak, in MB.
    """

    core_s: float
    gpu_s: float = 0.0
    disk_mb: float = 0.0
    memory_mb: float = 0.0
    subject: str = ""
    assumed: str = ""


class Costs:
    """The costs of the jobs of a config's study, from data sets' sizes and a table of rates.

    `sizes` is {data set: Size}, `rates` what the file of default rates holds.
    """

    def __init__(self, config, sizes, rates):
        self.config, self.sizes = config, sizes
        self.rates = {name: row["value"] for name, row in rates["rates"].items()}
        self.networks = {(row["loader"], row["name"]): row for row in rates["networks"]}
        self.segmenters, self.detectors = rates["segmenters"], rates["detectors"]
        self.unknown, self.unknown_detector = rates["unknown"], rates["unknown_detector"]
        self.study = config["studies"][config["study"]]
        self.n_variants = len(self.study["variants"])

    def of(self, rule, wildcards):
        """The Cost of a job; of a rule that has no formula here, what its verb says."""
        if rule in FORMULAS:
            return FORMULAS[rule](self, **wildcards)
        rate = VERBS.get(rule.split("_")[0])
        assumed = "" if rate else f"rule {rule}"
        memory = self.rates["memory_tables"]
        seconds = self.rates[rate or "any_other_rule"]
        return Cost(seconds, 0, self.rates["tables_mb"], memory, assumed=assumed)

    def network(self, model):
        """The row of a model's network, that of an unknown one if there is none."""
        row = self.config["models"][model]
        return self.networks.get((row["loader"], row.get("name")), self.unknown)

    def dimensions(self, model):
        """How many numbers a representation has."""
        return self.network(model)["dimensions"]

    def features_mb(self, dataset, model):
        """MB of the representations of one variant."""
        return self.sizes[dataset].n * self.dimensions(model) * BYTES

    # Data

    def fetched(self, table, name):
        """A file of a row of `table`."""
        known = (self.config[table][name].get("size_bytes") or 0) / 1e6
        size_mb, assumed = known or self.rates["file_mb"], "" if known else f"size of {name}"
        memory = self.rates["memory_tables"]
        seconds = self.rates["start_tables"] + size_mb / self.rates["download"]
        return Cost(seconds, 0, size_mb, memory, assumed=assumed)

    def fetch_weights(self, weights):
        """A file of weights."""
        return self.fetched("weights", weights)

    def fetch_archive(self, archive):
        """An archive of a data set."""
        return self.fetched("archives", archive)

    def fetch_dataset(self, dataset):
        """What the archives of a data set hold, or what torchvision brings: 0.11 MB an image."""
        rows = [self.config["archives"][name] for name in self._row(dataset).get("archives", [])]
        known = sum(row.get("size_bytes") or 0 for row in rows) / 1e6
        size_mb = known or self.sizes[dataset].n * self.rates["image_mb"]
        seconds = self.rates["start_tables"] + size_mb / self.rates["download"]
        assumed = "" if known else f"size of data set {dataset}"
        return Cost(seconds, 0, size_mb, self.rates["memory_tables"], assumed=assumed)

    def write_manifest(self, dataset):
        """Every image read once, every pair compared where near-duplicates are looked for, folds.

        In memory lie the thumbnails and what the search makes of them and of the pairs whose hashes
        are close; then, when the folds are drawn, two tables of images by classes.
        """
        size, rates = self.sizes[dataset], self.rates
        pairs = size.n**2 / 2 if self._row(dataset).get("near_duplicates") else 0
        seconds = rates["start_tables"] + size.n * (rates["read_image"] + rates["fold_image"])
        searched = size.n * rates["memory_searched"] + pairs * rates["memory_pair"]
        drawn = 2 * size.n * size.n_classes * DOUBLE
        memory = size.n * rates["memory_thumbnail"] + max(searched if pairs else 0, drawn)
        return Cost(
            seconds + pairs * rates["compare_images"],
            0,
            2e-4 * size.n,
            rates["memory_tables"] + memory,
        )

    def build_shard(self, dataset, shard):
        """Every image through the segmenter and the detectors, and each prompt's queries."""
        row, rates = self._row(dataset), self.rates
        segmenter = self.config["segmenters"][row["segmenter"]]
        n = -(-self.sizes[dataset].n // row["shards"])
        memory = rates["memory_torch"] + rates["memory_image"] * n
        if segmenter["kind"] == "given":
            seconds = rates["start_torch"] + n * (rates["read_image"] + rates["given_mask"])
            return Cost(seconds, 0, n * rates["image_mb"], memory, subject="given masks")
        prompts = [self.config["prompts"][row[key]] for key in PROMPTS if row.get(key)]
        detectors = [prompt["detector"] for prompt in prompts if prompt["kind"] == "text"]
        found = [self.detectors.get(name, self.unknown_detector) for name in detectors]
        assumed = [f"detector {name}" for name in detectors if name not in self.detectors]
        network, share = self.segmenters[segmenter["kind"]], (segmenter["input_px"] / SAM_PX) ** 2
        gmacs = network["gmacs"] * share + sum(each["gmacs"] for each in found)
        queries = sum(rates[f"query_{prompt['kind']}"] for prompt in prompts)
        own = gmacs / rates["segmenter_gmacs"] + queries
        on_gpu = gmacs / rates["gpu_gmacs"] + len(prompts) * rates["gpu_query"]
        memory += 4 * (network["parameters"] + sum(each["parameters"] for each in found))
        memory += network["activations"] * share
        kinds = " and ".join(prompt["kind"] for prompt in prompts)
        return Cost(
            rates["start_network"] + n * (rates["read_image"] + own),
            rates["start_network"] + n * (rates["read_image"] + on_gpu),
            n * rates["image_mb"],
            memory,
            subject=f"{segmenter['kind']} at {segmenter['input_px']} px, {kinds}",
            assumed=", ".join(assumed),
        )

    def assess_masks(self, dataset):
        """A row a mask; of one shard at a time, all masks and exact masks."""
        n, rates = self.sizes[dataset].n, self.rates
        seconds = rates["table"] + n * 1e-4
        memory = n * rates["memory_row"] + n / self._row(dataset)["shards"] * rates["memory_masks"]
        return Cost(seconds, 0, n * 6e-4, rates["memory_tables"] + memory)

    # Representations and what is made of them

    def extract_features(self, dataset, model, n_parts=1):
        """Every variant of every image, or of a part of them, through the network."""
        row, network, rates = self.config["models"][model], self.network(model), self.rates
        n = -(-self.sizes[dataset].n // n_parts) * self.n_variants
        start = rates["start_network"] if network["gmacs"] else rates["start_torch"]
        memory = rates["memory_torch"] + 4 * network["parameters"]
        disk = n * (network["dimensions"] * BYTES + rates["identity_mb"])
        return Cost(
            start + n * (rates["compose_variant"] + network["gmacs"] / rates[network["pace"]]),
            start + n * (rates["compose_variant"] + network["gmacs"] / rates["gpu_gmacs"]),
            disk,
            memory + (rates["memory_activations"] if network["gmacs"] else 0),
            subject=row.get("name") or row["loader"],
            assumed=f"network of {model}" if network is self.unknown else "",
        )

    def extract_part(self, dataset, model, part):
        """A part of the images through the network."""
        return self.extract_features(dataset, model, self._row(dataset)["extraction_shards"])

    def gather_features(self, dataset, model):
        """A copy of all parts."""
        whole = self.extract_features(dataset, model)
        seconds = self.rates["start_torch"] + whole.disk_mb / self.rates["copy"]
        return Cost(seconds, 0, whole.disk_mb, self.rates["memory_torch"])

    def fit_probes(self, dataset, model):
        """Every fit of every protocol; the folds are taken whole."""
        size, d, rates = self.sizes[dataset], self.dimensions(model), self.rates
        fits = sum(self.n_fits(self.config["probes"][name]) for name in self.study["probes"])
        gmacs = 2e-9 * size.n * min(size.n, d) * size.n_classes * rates["fit_iterations"]
        asked = size.n * self.n_predictions()
        return Cost(
            rates["start_torch"] + fits * (rates["fit_overhead"] + gmacs / rates["fit_gmacs"]),
            0,
            asked * rates["prediction_mb"] + rates["tables_mb"],
            rates["memory_torch"] + 3 * self.features_mb(dataset, model) + asked * 1e-4,
            subject=model,
        )

    def n_fits(self, protocol):
        """How many linear probes a protocol fits on one data set and model."""
        folds, kind = self.config["folds"], protocol["kind"]
        if kind == "nested":
            inner = folds * (folds - 1) // 2 * protocol["costs"]["count"]
            return (self.n_variants + bool(protocol["shuffled_control"])) * (inner + folds)
        if kind == "official":
            return self.n_variants * (protocol["costs"]["count"] + 1)
        return self.n_variants * folds if kind == "fixed" else 0

    def n_predictions(self):
        """How many predictions all protocols keep of an image."""
        n = 0
        for name in self.study["probes"]:
            protocol = self.config["probes"][name]
            n += self.n_variants + bool(protocol.get("shuffled_control"))
            if protocol.get("transfer"):
                n += 2 * self.n_variants * (self.n_variants - 1)
        return n

    def compare_probes(self, dataset):
        """The bootstrap over all images of all cells."""
        n = self.sizes[dataset].n * len(self.study["models"]) * self.n_variants
        seconds = self.rates["start_tables"] + n * self.rates["compare_prediction"]
        asked = self.sizes[dataset].n * self.n_predictions() * len(self.study["models"])
        memory = self.rates["memory_tables"] + asked * 1e-4
        return Cost(seconds, 0, self.rates["tables_mb"], memory)

    def moments_s(self, n, d, pairs):
        """Seconds for the moments of so many pairs: n d^2, and decompositions of min(n, d)^3."""
        r, rates = min(n, d), self.rates
        gmacs = 1e-9 * pairs * (n * d * r + rates["decomposition"] * r**3)
        return gmacs / rates["moment_gmacs"]

    def beside_products(self, held_mb, products_mb):
        """MB that suffice for what a job holds and its cross-products of all pairs.

        It takes these in batches of no more than half of what it asks for.
        """
        held_mb += self.rates["memory_torch"]
        return held_mb + min(held_mb, products_mb)

    def measure_similarity(self, dataset, model):
        """Moments of all pairs of variants, and every measure's random pairings."""
        n, d, settings = self.sizes[dataset].n, self.dimensions(model), self.config["similarity"]
        pairs = len(list(combinations_with_replacement(range(self.n_variants), 2)))
        drawn = min(n, settings["permuted_images"])
        entries = settings["permutations"] * len(self.study["measures"]) * min(drawn, d) ** 2
        seconds = self.rates["moment_passes"] * self.moments_s(n, d, pairs)
        seconds += entries * pairs * self.rates["pairing"]
        features = self.n_variants * self.features_mb(dataset, model)
        moments = settings["jackknife_groups"] * DOUBLE * min(n, d) ** 2
        products = (pairs - self.n_variants) * moments
        memory = max(
            self.rates["memory_torch"] + 2 * features,
            self.beside_products(features + self.n_variants * moments, products),
        )
        return Cost(
            self.rates["start_torch"] + seconds, 0, self.rates["tables_mb"], memory, subject=model
        )

    def compare_models(self, dataset):
        """Moments of all pairs of models and variants; all representations lie in memory."""
        n, models = self.sizes[dataset].n, self.study["models"]
        mean = sum(map(self.dimensions, models)) / len(models)
        n_all = len(models) * self.n_variants
        seconds = self.moments_s(n, mean, n_all * (n_all + 1) / 2)
        features = self.n_variants * sum(self.features_mb(dataset, model) for model in models)
        moments = DOUBLE * min(n, mean) ** 2
        memory = self.beside_products(1.1 * features + n_all * moments, n_all**2 / 2 * moments)
        return Cost(self.rates["start_torch"] + seconds, 0, self.rates["tables_mb"], memory)

    def count_neighbors(self, dataset, model):
        """Every query in every variant against every image in every variant, by every metric."""
        n, rates, settings = self.sizes[dataset].n, self.rates, self.config["neighbors"]
        queries = min(n, settings["most_queries"] or n) * self.n_variants
        gmacs = 1e-9 * queries * n * self.n_variants * self.dimensions(model)
        seconds = rates["start_torch"] + queries * rates["neighbor_row"]
        seconds += len(settings["metrics"]) * gmacs / rates["neighbor_gmacs"]
        features = 2 * self.n_variants * self.features_mb(dataset, model)
        return Cost(seconds, 0, rates["tables_mb"], rates["memory_torch"] + features, subject=model)

    def embed_umap(self, dataset):
        """A share of the images, in all variants, for every model and seed."""
        n, umap, models = self.sizes[dataset].n, self.config["umap"], self.study["models"]
        points = min(n, max(umap["at_least"], int(umap["share"] * n))) * self.n_variants
        embedded = points * len(models) * len(umap["seeds"])
        largest = max(self.features_mb(dataset, model) for model in models)
        return Cost(
            self.rates["start_umap"] + embedded * self.rates["umap_point"],
            0,
            embedded * self.rates["umap_mb"],
            self.rates["memory_umap"] + 2 * largest,
        )

    def _row(self, dataset):
        return self.config["datasets"][dataset]


PROMPTS = "prompt", "second_prompt"
# The verbs of rules whose jobs cost the same whatever the study: the names of their rates.
VERBS = {
    "gather": "table",
    "write": "table",
    "summarise": "table",
    "plot": "plot",
    "make": "report",
}
FORMULAS = {
    "fetch_weights": Costs.fetch_weights,
    "fetch_archive": Costs.fetch_archive,
    "fetch_dataset": Costs.fetch_dataset,
    "write_manifest": Costs.write_manifest,
    "build_shard": Costs.build_shard,
    "assess_masks": Costs.assess_masks,
    "extract_features": Costs.extract_features,
    "extract_part": Costs.extract_part,
    "gather_features": Costs.gather_features,
    "fit_probes": Costs.fit_probes,
    "compare_probes": Costs.compare_probes,
    "measure_similarity": Costs.measure_similarity,
    "compare_models": Costs.compare_models,
    "count_neighbors": Costs.count_neighbors,
    "embed_umap": Costs.embed_umap,
}
