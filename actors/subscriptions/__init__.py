"""What a system tells as it happens: subscriptions, consumers that acknowledge, queries that are watched."""
