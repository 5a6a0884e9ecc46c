"""OpenAI's chat-completions API and the servers that implement it."""

from .wire import ChatCompletionsWire as ChatCompletionsWire
