"""Serialization: configs as JSON, scikit-learn estimators without pickle, atomic writes."""
