"""Planning with a language model in this process, and Ranni's own two-turn planner on top of it."""
