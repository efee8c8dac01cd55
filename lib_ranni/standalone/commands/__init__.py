"""The subcommands of `lib-ranni`, a module each: `register` adds the parser, `run` does the work."""
