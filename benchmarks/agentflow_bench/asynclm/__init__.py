"""The suite `asynclm`: how soon tasks are done, on every carrier, and what the markup stands."""
