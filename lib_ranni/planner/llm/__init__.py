"""Planning with a language model, local or behind a server: asking, reading replies, asking again."""
