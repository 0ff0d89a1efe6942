"""The official client end to end: one module an area of the API, one function a case."""
