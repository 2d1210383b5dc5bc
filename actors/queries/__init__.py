"""The read side: how fresh an answer has to be, which replica gives it, and the query itself."""
