"""Fetching and checking of attachments given by URL."""
