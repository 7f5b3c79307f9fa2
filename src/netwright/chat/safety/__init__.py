"""Safety of a chat: filters of what is asked and of what is answered, set by whoever runs it.

    guard = Guard(rules.opened(rules.Config()), Journal(journal.Config()))
    for piece in Guarded(engine, guard).stream([Message("user", "Hi")], Sampling()): ...

`finding` says what a filter is; `words`, `personal` and `requests` are filters; `rules` reads an owner's settings;
`guard` applies them to texts and to replies as they grow; `journal` keeps what was decided. Nothing leaves the machine.
"""

FILTERS = {
    "words": "netwright.chat.safety.words",
    "personal": "netwright.chat.safety.personal",
    "requests": "netwright.chat.safety.requests",
}
"""Filter name -> module with `Config` and `open(config, folder) -> Filter` (`chat.safety.finding.Filter`)."""
