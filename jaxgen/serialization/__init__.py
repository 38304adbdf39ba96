"""Configs, estimators and directories on disk."""
