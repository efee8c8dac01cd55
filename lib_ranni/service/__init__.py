"""What every host of ours serves alike: the routes and the gradio parts, over a `Host`."""
