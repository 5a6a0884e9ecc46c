"""Download attachments from URLs safely."""
