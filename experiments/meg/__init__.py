"""Maximum entropy generators."""
