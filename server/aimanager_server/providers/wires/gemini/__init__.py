"""Google's generateContent API."""

from .wire import GeminiWire as GeminiWire
