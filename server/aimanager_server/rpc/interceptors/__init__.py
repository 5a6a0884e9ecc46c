"""One file an interceptor; app.py lists them in order."""
