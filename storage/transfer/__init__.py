"""Export and import: a log as lines of JSON, and back."""
