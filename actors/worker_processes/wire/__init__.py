"""What both sides share: messages, frames, queries and errors as bytes."""
