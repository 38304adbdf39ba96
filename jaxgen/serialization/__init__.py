"""Serialization: configs as JSON, scikit-learn estimators without pickle, and atomic writes of directories."""
