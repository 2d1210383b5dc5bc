"""The meta commands of the session, one module for each subject."""
