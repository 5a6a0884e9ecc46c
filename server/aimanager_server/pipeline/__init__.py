"""The layers between the resolved call and its provider, one policy per module; `app.py` lists their order."""
