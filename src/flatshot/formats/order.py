"""The order in which the nodes of a graph can run."""

import heapq
from collections.abc import Callable, Sequence

from flatshot.errors import GraphError
from flatshot.formats.graphdef import Graph, Node


def sort_nodes(
    graph: Graph, roots: Sequence[Node], sources: Callable[[Node], Sequence[str]]
) -> list[Node]:
    """What `roots` need and they themselves, each after what it reads.

    Args:
        graph: where the names of `sources` mean something.
        roots: where to begin.
        sources: the names of the nodes that a node reads.

    Raises:
        GraphError: nodes wait for each other, or for one that is not there.
    """
    done: set[str] = set()
    entered: set[str] = set()
    order = []
    for root in roots:
        stack = [root.name]
        while stack:
            name = stack[-1]
            if name in done:
                stack.pop()
                continue
            node = graph.by_name[name]
            waiting = [source for source in sources(node) if source not in done]
            for missing in (source for source in waiting if source not in graph.by_name):
                raise GraphError(f"node {name!r} reads {missing!r}, which is not in the graph")
            if not waiting:
                stack.pop()
                done.add(name)
                order.append(node)
            elif name in entered:
                raise GraphError(f"the graph has a cycle through node {name!r}")
            else:
                entered.add(name)
                stack += reversed(waiting)
    return order


def first_ready(
    graph: Graph, nodes: Sequence[Node], sources: Callable[[Node], Sequence[str]]
) -> list[Node]:
    """`nodes` so that of all that can run the one that stands first in the file comes next.

    That is how TOCO orders operators (`FixOperatorOrdering`); constants can always be read. Files
    that are in order already stay as they are.

    Args:
        graph: the file.
        nodes: what to order, without cycles and with all that they read.
        sources: the names of the nodes that a node reads.
    """
    place = {node.name: number for number, node in enumerate(graph)}
    wanted = {node.name: set(sources(node)) for node in nodes}
    readers: dict[str, list[str]] = {}
    for name, names in wanted.items():
        for source in names:
            readers.setdefault(source, []).append(name)
    constants = [node for node in nodes if node.op == "Const"]
    ready = [place[name] for name, names in wanted.items() if not names]
    ready = [number for number in ready if graph.nodes[number].op != "Const"]
    order: list[Node] = []

    def run(node: Node) -> None:
        order.append(node)
        for reader in readers.get(node.name, ()):
            wanted[reader].discard(node.name)
            if not wanted[reader]:
                heapq.heappush(ready, place[reader])

    heapq.heapify(ready)
    for node in constants:
        run(node)
    while ready:
        run(graph.nodes[heapq.heappop(ready)])
    return order
