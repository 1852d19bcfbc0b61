"""Components: the strongly connected ones of a graph, those that others depend on first."""

from collections.abc import Iterator, Sequence


def components(depends: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the strongly connected components of a graph (Tarjan, 1972).

    Args:
        depends: for each node those that it depends on.

    >>> components([[1], [2], [1], []])
    [[2, 1], [0], [3]]

    """
    found: list[list[int]] = []
    number = [0] * len(depends)
    low = [0] * len(depends)
    done = [False] * len(depends)
    open_nodes: list[int] = []
    count = 0
    for root in range(len(depends)):
        if number[root]:
            continue
        path: list[tuple[int, Iterator[int]]] = []
        enter: int | None = root
        while enter is not None or path:
            if enter is not None:
                count += 1
                number[enter] = low[enter] = count
                open_nodes.append(enter)
                path.append((enter, iter(depends[enter])))
                enter = None
            node, rest = path[-1]
            for other in rest:
                if not number[other]:
                    enter = other
                    break
                if not done[other]:
                    low[node] = min(low[node], number[other])
            if enter is not None:
                continue
            path.pop()
            if path:
                low[path[-1][0]] = min(low[path[-1][0]], low[node])
            if low[node] == number[node]:
                component = []
                while not done[node]:
                    component.append(open_nodes.pop())
                    done[component[-1]] = True
                found.append(component)
    return found
