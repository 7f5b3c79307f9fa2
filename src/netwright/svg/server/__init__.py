"""Tracing over HTTP, for programs and for a page on one's own machine.

    listening.Listening(Config(port=8078)).run()

`settings` is what can be set, `gate` what every request passes first (hosts, origins, the key, how many at once),
`form` how an image comes in, `bench` the threads that trace, `work` what they do, `replies` how that goes out,
`described` what the OpenAPI document says, `app` the routes, `listening` the sockets. Nothing here chooses settings:
that is `svg.choose`'s, and `svg.front`'s.
"""
