"""One interceptor per module; `app.py` lists them in order."""
