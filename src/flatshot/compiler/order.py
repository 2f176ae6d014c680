"""The order in which the nodes of a graph can run."""

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
        GraphError: nodes wait for each other.
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
