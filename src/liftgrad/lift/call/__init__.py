"""A call taken apart: Python objects go in, numbers and a key of their structure come out."""
