"""How to read, regenerate and cite a zoo, in words that can be copied."""

from __future__ import annotations

import json

from analysis.card.record import Card
from analysis.report.reproduce import generate_commands

LOCAL_STORE = "./store"


def python_snippet(card: Card) -> str:
    """Reading with this library."""
    lines = [
        "from zoo import Zoo",
        "",
        f"zoo = Zoo.open({_address(card)})",
        "table = zoo.members  # a pandas DataFrame, one row for each snapshot, without weights",
    ]
    if len(card.layouts) > 1:
        lines += [
            'for population in zoo.populations("train", epochs="last"):',
            "    print(population.parameters, population.weights_MP.shape)",
        ]
    else:
        lines += [
            'population = zoo.population("train", epochs="last")',
            f"weights_MP = population.weights_MP  # torch float32 [members, {card.identity.parameters[0]}]",
            "module = population.architectures[population.architecture_M[0]].to_module(weights_MP[0])",
        ]
    if card.provenance.dataset:
        lines.append("images = zoo.dataset().test.inputs  # what they are applied to")
    return "\n".join(lines)


def duckdb_snippet(card: Card) -> str:
    """Reading with DuckDB."""
    by = next((entry.name for entry in card.varying if entry.kind == "choice" and " " not in entry.name), "split")
    by = "split" if by == "architecture" else by
    return "\n".join(
        [
            f"SELECT {by}, count(*) AS members, avg(test_accuracy) AS accuracy",
            f"FROM '{shard_files(card)}'",
            f"WHERE epoch = {card.epochs[-1].epoch} AND NOT diverged",
            f"GROUP BY {by} ORDER BY accuracy DESC",
        ]
    )


def pandas_snippet(card: Card) -> str:
    """Reading with pandas."""
    folder = shard_files(card).rpartition("/")[0]
    lines = [
        "import pandas as pd",
        "",
        f'shards = "{folder}"',
        'table = pd.read_parquet(shards, columns=["member", "epoch", "split", "test_accuracy"])',
    ]
    if len(card.layouts) == 1:
        lines += [
            "weights = pd.read_parquet(",
            '    shards, columns=["weights"],',
            f'    filters=[("split", "==", "test"), ("epoch", "==", {card.epochs[-1].epoch})],',
            ')["weights"]  # one float32 array for each snapshot',
        ]
    return "\n".join(lines)


def regenerate_snippet(card: Card) -> str:
    """The commands that make the zoo and this card again."""
    recipe = {field.name: field.value for field in card.provenance.fields}
    if card.provenance.kind == "imported":
        lines = [
            "# imported, not generated: import the same source again",
            f"# {json.dumps(recipe)}",
        ]
    else:
        lines = generate_commands(recipe, card.identity.members)
    sample = card.sample
    name = card.identity.name
    return "\n".join(
        [
            *lines,
            f"zooscale verify {name}",
            f"zooscale card {name} --members {sample.members} --images {sample.images} --seed {sample.seed}",
        ]
    )


def citation(card: Card) -> str:
    """A BibTeX entry that names the very weights by their hash."""
    identity = card.identity
    version = card.provenance.environment.get("libraries", {}).get("zooscale", "")
    made = "imported" if card.provenance.kind == "imported" else "generated"
    return "\n".join(
        [
            f"@misc{{{identity.name},",
            f"  title = {{Model zoo {identity.name}: {identity.members} networks}},",
            f"  year = {{{identity.created[:4]}}},",
            f"  howpublished = {{{made} with zooscale {version}}},".replace(" }", "}"),
            f"  note = {{content sha256 {identity.content_sha256}}}",
            "}",
        ]
    )


def shard_files(card: Card) -> str:
    """A pattern of all shards."""
    address = card.identity.address
    return f"{address if '://' in address else f'{LOCAL_STORE}/{address}'}/shards/*.parquet"


def _address(card: Card) -> str:
    address = card.identity.address
    return f'"{address}"' if "://" in address else f'"{card.identity.name}", store="{LOCAL_STORE}"'
