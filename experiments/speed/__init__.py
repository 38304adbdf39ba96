"""Speed next to other libraries."""
