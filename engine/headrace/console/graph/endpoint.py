"""`POST /v0/gql`: a query or a mutation, and its answer. Source: the SDK protocol page, section 6.3."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    execute,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.archive_reader import ArchiveReader
from headrace.console.catalog import Catalog
from headrace.console.graph.depth import DEPTH_MAX, depth_of
from headrace.console.graph.look import Look
from headrace.console.graph.mutations import Mutations, RemoveApp, SyncApp
from headrace.console.graph.queries import query_root
from headrace.console.orders import Orders
from headrace.console.rest import answered
from headrace.console.run_orders import Cancel, RunOrders
from headrace.errors import BadRequest
from headrace.intake.body import read_body

logger = logging.getLogger("headrace.console")

_BODY_BYTES_MAX = 4 << 20  # most of it may be the data of an invocation
_QUERY_CHARACTERS_MAX = 64 << 10
_TOKENS_MAX = 5_000
_ERRORS_MAX = 20


class _Asked(msgspec.Struct, rename="camel"):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class GraphApi:
    """The endpoint. `sync` and `remove` change apps; without them that is refused."""

    def __init__(
        self,
        catalog: Catalog,
        archive: ArchiveReader,
        clock: Clock,
        orders: Orders,
        run_orders: RunOrders,
        *,
        cancel: Cancel | None = None,
        sync: SyncApp | None = None,
        remove: RemoveApp | None = None,
    ) -> None:
        self._catalog = catalog
        self._archive = archive
        self._clock = clock
        self._mutations = Mutations(catalog, orders, run_orders, archive, clock, cancel, sync, remove)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v0/gql", answered(self.receive), methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Answer 200 with data and errors; 422 with errors for a document that is no query of this schema."""
        asked = _read(await read_body(request, _BODY_BYTES_MAX))
        try:
            document = read_document(asked.query)
            operation = _operation(document, asked.operation_name)
        except GraphQLError as error:
            return _answer(422, ExecutionResult(None, [error]))
        except _Invalid as invalid:
            return _answer(422, ExecutionResult(None, invalid.errors))
        if operation.operation is OperationType.MUTATION:
            result = await self._mutate(document, asked)
        else:
            look = (self._catalog.look(), self._clock.wall_ms())
            result = await self._archive.ask(lambda archive: _query(document, asked, Look(archive, *look)))
        for told in result.errors or ():
            if told.original_error is not None and not isinstance(told.original_error, GraphQLError):
                logger.error("GraphQL: %s", told, exc_info=told.original_error)
        return _answer(200, result)

    async def _mutate(self, document: DocumentNode, asked: _Asked) -> ExecutionResult:
        result = execute(
            schema(),
            document,
            root_value=self._mutations.root(),
            variable_values=asked.variables,
            operation_name=asked.operation_name,
        )
        return result if isinstance(result, ExecutionResult) else await result


def _query(document: DocumentNode, asked: _Asked, look: Look) -> ExecutionResult:
    return execute_sync(
        schema(),
        document,
        root_value=query_root(look),
        variable_values=asked.variables,
        operation_name=asked.operation_name,
    )


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """Build the schema."""
    return build_schema((files("headrace.console.graph") / "schema.graphql").read_text())


class _Invalid(Exception):
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


@lru_cache(maxsize=256)
def read_document(query: str) -> DocumentNode:
    """Parse and check a document; those who poll send the same one again and again."""
    if len(query) > _QUERY_CHARACTERS_MAX:
        raise GraphQLError(f"the query has {len(query)} characters; {_QUERY_CHARACTERS_MAX} are allowed")
    document = parse(query, max_tokens=_TOKENS_MAX, no_location=False)
    errors = validate(schema(), document)
    if errors:
        raise _Invalid(errors)
    depth = depth_of(document)
    if depth > DEPTH_MAX:
        raise GraphQLError(f"the query is {depth} levels deep; {DEPTH_MAX} are allowed")
    return document


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operation = get_operation_ast(document, name)
    if operation is None:
        raise GraphQLError("the operation is not named, or there is none of that name")
    if operation.operation is OperationType.SUBSCRIPTION:
        raise GraphQLError("there are no subscriptions here")
    return operation


def _read(body: bytes) -> _Asked:
    try:
        return msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            "body_invalid",
            f"the body cannot be read: {error}",
            why="it is a JSON object",
            do='send {"query": "query($id: String!) { run(runID: $id) { status } }", "variables": {"id": "01K…"}}',
        ) from None


def _answer(status: int, result: ExecutionResult) -> Response:
    content: dict[str, Any] = {"data": result.data}
    if result.errors:
        content["errors"] = [error.formatted for error in result.errors[:_ERRORS_MAX]]
    return Response(msgspec.json.encode(content), status, media_type="application/json")
