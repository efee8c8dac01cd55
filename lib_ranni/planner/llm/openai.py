"""Language models behind OpenAI-compatible servers, over `httpx`.

A backend may be used by several threads at once; each reply has a connection of its own. It remembers what
its server refused, and nothing else. The key goes into one header: redirects are not followed, and what a
server echoes is masked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import msgspec
from httpx_sse import EventSource, SSEError

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm import completions
from lib_ranni.planner.llm.backend import Chat
from lib_ranni.planner.llm.faults import PassingFault, cause, fault_of
from lib_ranni.planner.llm.forms import Form
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.llm.waiting import pieces
from lib_ranni.planner.protocol import Cancelled, never

_MOST_BYTES = 4 * 2**20
"""A reply that is longer is no plan."""

_FORM_FAULTS = frozenset((400, 415, 422, 500, 501))
"""States of servers that do not know a part of the request; some fall over it."""

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class OpenAIBackend:
    """A model of a `Server`."""

    name = "openai"

    def __init__(self, server: Server) -> None:
        self.server = server
        self._form = Form()
        self._model = server.model

    @property
    def model(self) -> str:
        """The model's name; empty until the server's first has been looked up."""
        return self._model

    @property
    def identity(self) -> str:
        """The model that is meant, and where: the same before and after its name is looked up."""
        return f"{self.server.model or 'the first model'} at {self.server.url}"

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        """The reply, in pieces as they arrive; it ends early when the caller cancels.

        Raises `PlannerError` whose message says what is wrong with the server, the key or the model.
        """
        return self.server.key.masked_pieces(self._told(lambda: self._reply(chat), cancelled))

    def models(self, cancelled: Cancelled = never) -> tuple[str, ...]:
        """The names of the server's models. Raises `PlannerError` like `stream`."""

        async def listed() -> AsyncIterator[str]:
            async with self._client() as client:
                for name in await self._within_tries(lambda: self._models(client)):
                    yield name

        return tuple(self._told(listed, cancelled))

    def _told(self, reply: Callable[[], AsyncIterator[str]], cancelled: Cancelled) -> Iterator[str]:
        """The reply in this thread, without the key in its errors."""
        try:
            yield from pieces(reply, cancelled, self.server.total_timeout)
            return
        except PlannerError as error:
            message = self.server.key.masked(str(error))
        # Out here, as the new error would carry the old one along.
        raise PlannerError(message)

    async def _reply(self, chat: Chat) -> AsyncIterator[str]:
        async with self._client() as client:
            if not self._model:
                models = await self._within_tries(lambda: self._models(client))
                if not models:
                    raise PlannerError(f"{self.server.url} has no models; load one there")
                self._model = models[0]
            response = await self._within_tries(lambda: self._open(client, chat))
            try:
                async for text in self._texts(response):
                    yield text
            except httpx.TimeoutException:
                raise PlannerError(self._silence()) from None
            except PassingFault as fault:
                raise PlannerError(f"{fault}; try again") from None
            except (httpx.HTTPError, SSEError) as error:
                raise PlannerError(
                    f"the reply of {self.server.url} broke off ({self._cause(error)}); try again"
                ) from None
            finally:
                await response.aclose()

    def _client(self) -> httpx.AsyncClient:
        server = self.server
        timeout = httpx.Timeout(server.read_timeout, connect=server.connect_timeout)
        # Nothing compressed: a small reply must not become a large one in memory.
        headers = {**server.key.header, "Accept-Encoding": "identity"}
        # Reading the certificates takes a while; a server of this machine without TLS needs none. The proxy
        # before any other may have TLS.
        verify = not server.is_here or server.url.startswith("https:")
        return httpx.AsyncClient(
            headers=headers, timeout=timeout, trust_env=not server.is_here, verify=verify
        )

    async def _within_tries(self, action: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The action, again after a passing fault, with growing pauses."""
        tried = 0
        while True:
            try:
                return await action()
            except PassingFault as fault:
                pause = 0.5 * 2**tried if fault.pause is None else fault.pause
                if tried == self.server.retries or pause > self.server.longest_pause:
                    raise PlannerError(str(fault)) from None
                _log.info("%s; again in %.1f s", self.server.key.masked(str(fault)), pause)
                await asyncio.sleep(pause)
                tried += 1

    async def _models(self, client: httpx.AsyncClient) -> tuple[str, ...]:
        response = await self._send(client, "GET", "/models")
        body = await self._body(response)
        if response.status_code != 200:
            raise fault_of(self.server.url, response, body)
        return completions.models_of(_decoded(body))

    async def _open(self, client: httpx.AsyncClient, chat: Chat) -> httpx.Response:
        """The response to a chat, its body unread, in the first form that the server takes."""
        while True:
            form = self._form
            response = await self._send(client, "POST", "/chat/completions", form.payload(chat, self._model))
            if response.status_code == 200:
                return response
            body = await self._body(response)
            other = None
            if response.status_code in _FORM_FAULTS:
                refusal = completions.error_text(_decoded_or_text(body))
                other = form.after(refusal, response.status_code, structured=chat.schema is not None)
            if other is None:
                models = await self._models_if_unknown(client, response, body)
                raise fault_of(self.server.url, response, body, self._model, models)
            _log.info("%s refused a part of the request; asked in another form", self.server.url)
            self._form = other

    async def _models_if_unknown(
        self, client: httpx.AsyncClient, response: httpx.Response, body: bytes
    ) -> tuple[str, ...]:
        """What the server has instead, where it says that it does not have our model."""
        if response.status_code not in (400, 404) or b"model" not in body.lower():
            return ()
        try:
            return await self._models(client)
        except (PlannerError, PassingFault):
            return ()

    async def _send(
        self, client: httpx.AsyncClient, method: str, route: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        url = self.server.url + route
        _log.debug("%s %s, %d bytes", method, url, len(content or b""))
        try:
            request = client.build_request(method, url, content=content, headers=headers)
            # httpx logs the words of the status line, and these are the server's.
            with self.server.key.masked_log("httpx"):
                response = await client.send(request, stream=True)
        except httpx.ConnectTimeout:
            seconds = f"{self.server.connect_timeout:g} s"
            raise PlannerError(
                f"{self.server.url} cannot be reached within {seconds}; is the address right?"
            ) from None
        except (httpx.ConnectError, OSError) as error:
            why = self._cause(error)
            raise PlannerError(
                f"there is no server at {self.server.url} ({why}); start it, or correct the address"
            ) from None
        except httpx.TimeoutException:
            raise PlannerError(self._silence()) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PassingFault(
                f"{self.server.url} closed the connection, or does not speak HTTP ({self._cause(error)})"
            ) from None
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        masked = self.server.key.masked_bytes
        response.headers = httpx.Headers([(name, masked(value)) for name, value in response.headers.raw])
        return response

    async def _body(self, response: httpx.Response) -> bytes:
        """A whole body without the key; what a server compressed unasked stays so."""
        try:
            body = b"".join([chunk async for chunk in response.aiter_raw()])
        except httpx.HTTPError as error:
            raise PassingFault(f"the reply of {response.url.host} broke off ({self._cause(error)})") from None
        finally:
            await response.aclose()
        return self.server.key.masked_bytes(body)

    def _cause(self, error: Exception) -> str:
        return cause(error, self.server.key)

    def _silence(self) -> str:
        seconds = f"{self.server.read_timeout:g} s"
        return f"{self.server.url} sent nothing for {seconds}; allow more time, or ask a quicker model"

    async def _texts(self, response: httpx.Response) -> AsyncIterator[str]:
        """The pieces of text in a response, whichever way the server sends them."""
        key = self.server.key
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_empty, is_cut = True, False
        if response.headers.get("content-encoding", "identity") != "identity":
            raise PlannerError(f"{self.server.url} compresses its replies unasked; switch that off there")
        if kind == "text/event-stream":
            async for event in EventSource(response).aiter_sse():
                if event.data.strip() == "[DONE]":
                    break
                if not event.data.strip():
                    continue
                document = _decoded(key.masked_bytes(event.data.encode("utf-8")))
                text = completions.text_of(document)
                is_empty, is_cut = is_empty and not text, completions.is_cut(document)
                yield text
        elif kind in ("application/json", ""):
            document = _decoded(await self._body(response))
            text = completions.text_of(document)
            is_empty, is_cut = not text, completions.is_cut(document)
            yield text
        else:
            kind = completions.quoted(kind)
            raise PlannerError(
                f"{self.server.url} answers with {kind} instead of JSON; most addresses end in /v1"
            )
        if is_empty:
            if is_cut:
                raise PlannerError("the model used all of its tokens before it wrote; allow more tokens")
            raise PlannerError(
                "the model wrote nothing; the prompt may be too long for it, or try another model"
            )


class _Bounded(httpx.AsyncByteStream):
    """A body that may be no longer than a plan can be."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > _MOST_BYTES:
                raise PlannerError("the server's reply is far too long for a plan; ask another model")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlannerError(f"the server sent what is not JSON ({error}); is it OpenAI-compatible?") from None


def _decoded_or_text(body: bytes) -> Any:
    try:
        return _decoded(body)
    except PlannerError:
        return body[:2000].decode("utf-8", "replace")
