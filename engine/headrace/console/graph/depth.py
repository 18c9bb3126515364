"""How deep a query goes. Objects lead to others and back: a short query could ask for everything many times. Pure."""

from __future__ import annotations

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

DEPTH_MAX = 16


def depth_of(document: DocumentNode) -> int:
    """Count the levels of fields of the deepest operation; the document is valid, so fragments make no circles."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    known: dict[str, int] = {}
    depths = [
        _depth(one.selection_set, fragments, known)
        for one in document.definitions
        if isinstance(one, OperationDefinitionNode)
    ]
    return max(depths, default=0)


def _depth(
    selected: SelectionSetNode | None, fragments: dict[str, FragmentDefinitionNode], known: dict[str, int]
) -> int:
    deepest = 0
    for selection in selected.selections if selected else ():
        if isinstance(selection, FieldNode):
            depth = 1 + _depth(selection.selection_set, fragments, known)
        elif isinstance(selection, InlineFragmentNode):
            depth = _depth(selection.selection_set, fragments, known)
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in known:
                known[name] = _depth(fragments[name].selection_set, fragments, known)
            depth = known[name]
        else:
            depth = 0
        deepest = max(deepest, depth)
    return deepest
