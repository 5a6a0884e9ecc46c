"""OpenAI's Responses API."""

from .wire import ResponsesWire as ResponsesWire
