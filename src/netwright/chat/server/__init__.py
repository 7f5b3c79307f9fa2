"""An OpenAI-compatible server of language models on one's own machine.

    config = settings.gathered(Path("serve.toml"), ["serve.port=8000"], os.environ)
    shelf = Shelf({"smollm2": partial(opened, "smollm2-135m-instruct", ...)})
    listening.Listening(app.app(shelf, config), config).run()

`settings` is what can be set, `wire` what requests and replies look like, `app` the routes, `gate` what every request
passes first (request ids, hosts, keys, limits, sizes), `flow` how pieces travel from an engine's thread to a client,
`shelf` which models are in memory, `listening` the sockets. Nothing here chooses tokens: that is `chat.batch`'s.
"""
