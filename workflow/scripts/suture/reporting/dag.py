"""The rule graph as a drawing: layered, top to bottom, computed here so that the page needs no script and no network.

The steps are those of Sugiyama, Tagawa & Toda (1981): layers by the longest
path to the end, order within a layer by barycentres, then places that follow
the neighbours.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

from suture.errors import InputError

_NODE = re.compile(r"^\s*(\w+)\[(.*)\]\s*$")
_EDGE = re.compile(r"^\s*(\w+)\s*-->\s*(\w+)\s*$")

# Sizes in CSS pixels, for labels set at 13 px.
CHARACTER = 7.3
PADDING = 14.0
NODE_HEIGHT = 30.0
LAYER_HEIGHT = 58.0
GAP = 18.0
MARGIN = 10.0
LOOP = 22.0
_SWEEPS = 12


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Rules and which feeds which: ``edges`` are (producer, consumer), as indices into ``labels``."""

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A drawn rule: the label, its top left corner, its width, and whether it feeds itself."""

    label: str
    x: float
    y: float
    width: float
    repeats: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Boxes and SVG paths in a canvas of ``width`` x ``height`` pixels; ``edges`` names what the paths join.

    ``back`` names what leads against the flow and is not drawn as a path.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    back: tuple[tuple[str, str], ...]


def parse_mermaid(text: str, *, where: object) -> Graph:
    """Reads the text of ``snakemake --rulegraph mermaid-js``.

    Raises:
        InputError: it holds no node, or an edge to a node that it does not name.
    """
    ids: dict[str, int] = {}
    labels: list[str] = []
    edges: set[tuple[int, int]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if node := _NODE.match(line):
            ids[node[1]] = len(labels)
            labels.append(node[2])
        elif edge := _EDGE.match(line):
            unknown = [end for end in edge.groups() if end not in ids]
            if unknown:
                raise InputError(f"an edge to the unknown node {unknown[0]!r}", where=f"{where}:{number}")
            edges.add((ids[edge[1]], ids[edge[2]]))
    if not labels:
        raise InputError(
            "no rule graph in this file", where=where, fix="make it with: snakemake --rulegraph mermaid-js > FILE"
        )
    return Graph(labels=tuple(labels), edges=tuple(sorted(edges)))


def split_cycles(graph: Graph) -> tuple[Graph, tuple[tuple[int, int], ...]]:
    """Takes out the edges that lead back: a rule may feed itself, as a training segment feeds the next.

    Returns:
        the graph without them, and those edges.
    """
    after: dict[int, list[int]] = defaultdict(list)
    for producer, consumer in graph.edges:
        after[producer].append(consumer)
    state: dict[int, str] = {}
    back: list[tuple[int, int]] = []

    def visit(node: int) -> None:
        state[node] = "open"
        for consumer in after[node]:
            if state.get(consumer) == "open":
                back.append((node, consumer))
            elif consumer not in state:
                visit(consumer)
        state[node] = "done"

    has_input = {consumer for producer, consumer in graph.edges if producer != consumer}
    # From the true sources first: then what leads back is an edge against the flow.
    for node in sorted(range(len(graph.labels)), key=lambda n: (n in has_input, n)):
        if node not in state:
            visit(node)
    forward = tuple(edge for edge in graph.edges if edge not in set(back))
    return Graph(labels=graph.labels, edges=forward), tuple(sorted(back))


def _order(graph: Graph) -> list[int]:
    sorter: TopologicalSorter[int] = TopologicalSorter({node: set() for node in range(len(graph.labels))})
    for producer, consumer in graph.edges:
        sorter.add(consumer, producer)
    return list(sorter.static_order())


def reduce(graph: Graph, order: list[int]) -> Graph:
    """Leaves out each edge that a longer way already implies."""
    after: dict[int, set[int]] = {node: set() for node in order}
    direct: dict[int, list[int]] = defaultdict(list)
    for producer, consumer in graph.edges:
        direct[producer].append(consumer)
    for node in reversed(order):
        for consumer in direct[node]:
            after[node] |= {consumer} | after[consumer]
    kept = tuple(
        (producer, consumer)
        for producer, consumer in graph.edges
        if not any(consumer in after[other] for other in direct[producer] if other != consumer)
    )
    return Graph(labels=graph.labels, edges=kept)


def _layers(graph: Graph, order: list[int]) -> list[int]:
    """Puts each rule as far down as the rules that wait for it allow: just above the first that needs it."""
    to_end = [0] * len(graph.labels)
    for node in reversed(order):
        to_end[node] = max((to_end[c] + 1 for p, c in graph.edges if p == node), default=0)
    return [max(to_end) - steps for steps in to_end]


def draw(graph: Graph) -> Drawing:
    """Lays the graph out."""
    graph, back = split_cycles(graph)
    order = _order(graph)
    graph = reduce(graph, order)
    layer = _layers(graph, order)
    # Points: the rules, then a bend in each layer that a long edge passes.
    widths = [CHARACTER * len(label) + 2 * PADDING for label in graph.labels]
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node in sorted(order, key=lambda n: graph.labels[n]):
        rows[layer[node]].append(node)
    chains: list[list[int]] = []
    for producer, consumer in graph.edges:
        chain = [producer]
        for between in range(layer[producer] + 1, layer[consumer]):
            chain.append(len(widths))
            rows[between].append(len(widths))
            widths.append(0.0)
        chains.append([*chain, consumer])
    above: dict[int, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    for chain in chains:
        for upper, lower in pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)

    rows = _uncross(rows, above, below)
    x = _place(rows, widths, above, below)
    left = min(x[p] - widths[p] / 2 for p in range(len(widths)))
    right = max(x[p] + widths[p] / 2 for p in range(len(widths))) + LOOP
    shift = MARGIN - left
    y = {point: MARGIN + depth * LAYER_HEIGHT for depth, row in enumerate(rows) for point in row}
    boxes = tuple(
        Box(
            label=label,
            x=round(x[n] + shift - widths[n] / 2, 1),
            y=y[n],
            width=round(widths[n], 1),
            repeats=(n, n) in back,
        )
        for n, label in enumerate(graph.labels)
    )
    paths = tuple(_path([(x[p] + shift, y[p]) for p in chain]) for chain in chains)
    return Drawing(
        width=round(right - left + 2 * MARGIN, 1),
        height=2 * MARGIN + (len(rows) - 1) * LAYER_HEIGHT + NODE_HEIGHT,
        boxes=boxes,
        paths=paths,
        edges=tuple((graph.labels[p], graph.labels[c]) for p, c in graph.edges),
        back=tuple((graph.labels[p], graph.labels[c]) for p, c in back if p != c),
    )


def _crossings(rows: list[list[int]], below: dict[int, list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {point: i for i, point in enumerate(lower)}
        ends = [place[end] for point in upper for end in sorted(below[point], key=place.__getitem__)]
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _uncross(rows: list[list[int]], above: dict[int, list[int]], below: dict[int, list[int]]) -> list[list[int]]:
    best = [list(row) for row in rows]
    fewest = _crossings(best, below)
    current = [list(row) for row in rows]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        indices = range(1, len(current)) if down else range(len(current) - 2, -1, -1)
        neighbours = above if down else below
        for i in indices:
            fixed = {point: place for place, point in enumerate(current[i - 1 if down else i + 1])}
            own = {point: place for place, point in enumerate(current[i])}

            def barycentre(point: int, fixed: dict[int, int] = fixed, own: dict[int, int] = own) -> float:
                places = [fixed[n] for n in neighbours[point]]  # noqa: B023 - used within this sweep only
                return sum(places) / len(places) if places else float(own[point])

            current[i].sort(key=barycentre)
        crossings = _crossings(current, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in current], crossings
    return best


def _place(
    rows: list[list[int]], widths: list[float], above: dict[int, list[int]], below: dict[int, list[int]]
) -> list[float]:
    x = [0.0] * len(widths)
    for row in rows:
        _spread(row, [0.0] * len(row), widths, x)
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wished = []
            for point in row:
                near = (above if down else below)[point] or (below if down else above)[point]
                wished.append(sum(x[n] for n in near) / len(near) if near else x[point])
            _spread(row, wished, widths, x)
    return x


def _spread(row: list[int], wished: list[float], widths: list[float], x: list[float]) -> None:
    """Puts the points of a row near their wishes, in order and apart: the mean of packing from both sides."""
    apart = [(widths[a] + widths[b]) / 2 + GAP for a, b in pairwise(row)]
    rightward = list(wished)
    for i in range(1, len(row)):
        rightward[i] = max(wished[i], rightward[i - 1] + apart[i - 1])
    leftward = list(wished)
    for i in range(len(row) - 2, -1, -1):
        leftward[i] = min(wished[i], leftward[i + 1] - apart[i])
    for point, a, b in zip(row, rightward, leftward, strict=True):
        x[point] = (a + b) / 2


def _path(points: list[tuple[float, float]]) -> str:
    (x, y), *rest = points
    y += NODE_HEIGHT
    parts = [f"M{x:.1f} {y:.1f}"]
    for i, (next_x, next_y) in enumerate(rest):
        middle = (y + next_y) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
        if i < len(rest) - 1:
            # A long edge runs straight down beside the boxes of the layers it passes.
            y += NODE_HEIGHT
            parts.append(f"V{y:.1f}")
    return "".join(parts)
