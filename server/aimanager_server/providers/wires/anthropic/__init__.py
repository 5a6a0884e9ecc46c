"""Anthropic's Messages API."""

from .wire import AnthropicWire as AnthropicWire
